"""Sets of classes, a flag with a bounded false-positive rate, out-of-distribution queries, doubtful labels.

python examples/when_not_to_trust.py
"""

from __future__ import annotations

import numpy as np

from savs import SAVModel, draw_shots, read_examples
from savs.demo.data import PHOTO_FOLDER


def main() -> None:
    """Show four ways in which a classifier can say that it is not sure."""
    shots, rest = draw_shots(read_examples(PHOTO_FOLDER), shots=20, seed=0)
    model = SAVModel.from_backbone("tiny", prompt="What is in this picture?", method="auto").fit(shots)

    queries = rest[::160]  # rest is in file order, class by class
    for example, classes in zip(queries, model.predict_set(queries, alpha=0.1), strict=True):
        print(f"{example.id}: {' or '.join(map(str, classes)) or 'no class'}")

    flag = model.threshold_at_fpr("deer", fpr=0.1)
    column = list(model.classes_).index("deer")
    mixed = rest[::8][:100]
    flagged = model.predict_proba(mixed)[:, column] > flag.threshold
    n_deer = sum(example.label == "deer" for example in mixed)
    print(f"{flagged.sum()} of {len(mixed)} images are flagged as deer; {n_deer} of them are")

    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    queries = [noise, *rest[:3]]
    print("out of distribution:", model.is_out_of_distribution(queries).tolist())

    for issue in model.find_label_issues()[:3]:
        print("check this label:", issue)


if __name__ == "__main__":
    main()
