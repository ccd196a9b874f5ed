"""Compare methods and baselines on the same draws of the shots, from one forward pass per example.

python examples/compare_methods.py
"""

from __future__ import annotations

from savs import load_backbone, read_examples
from savs.demo.data import PHOTO_FOLDER
from savs.evaluation import compare_methods


def main() -> None:
    """Print mean accuracy and its difference to the published rule for five methods."""
    examples = read_examples(PHOTO_FOLDER)[::6]
    found = compare_methods(
        load_backbone("tiny"),
        examples,
        prompt="What is in this picture?",
        methods=["sav", "hec_v", "auto", "last_layer", "majority"],
        shots=[5, 10],
        draws=3,
    )
    for shots in (5, 10):
        print(f"{shots} shots per class")
        for name in found.methods:
            line = f"  {name:12} {found.mean(name, shots):6.1%}"
            if name != "sav":
                difference = found.difference(name, "sav", shots)
                line += f"  {difference.value:+6.1%} to sav ({difference.low:+.1%} to {difference.high:+.1%})"
            print(line)


if __name__ == "__main__":
    main()
