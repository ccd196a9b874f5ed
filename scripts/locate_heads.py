"""Locate the attention heads of every decoder in transformers' model maps, from default configurations.

Models are built on the meta device: no weights, no network. Prints one line per architecture and a summary:

    python scripts/locate_heads.py
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
import transformers
from transformers.models.auto import modeling_auto

from savs.backbones.sites import find_sites
from savs.errors import BackboneError

MAPS = (
    "MODEL_FOR_MULTIMODAL_LM_MAPPING",
    "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING",
    "MODEL_FOR_CAUSAL_LM_MAPPING",
)


def entries() -> Iterator[tuple[str, Any, Any]]:
    """Yield the name, configuration class and model class of every entry, each pair once."""
    seen = set()
    for name in MAPS:
        mapping = getattr(modeling_auto, name, None) or {}
        for config_class in list(mapping.keys()):
            classes = mapping[config_class]
            model_class = classes[0] if isinstance(classes, tuple) else classes
            if (config_class, model_class) not in seen:
                seen.add((config_class, model_class))
                yield config_class.model_type, config_class, model_class


def outcome(config_class: Any, model_class: Any) -> tuple[str, str]:
    """Return what became of an architecture, and a detail."""
    try:
        with torch.device("meta"):
            model = model_class(config_class())
    except Exception as error:
        return "not built", type(error).__name__
    try:
        layout = find_sites(model).layout
    except BackboneError as error:
        return "refused", str(error)
    return "located", f"{layout.n_layers} layers, {layout.n_heads} heads, widths {sorted(set(layout.dims))}"


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    counts: Counter[str] = Counter()
    for name, config_class, model_class in entries():
        result, detail = outcome(config_class, model_class)
        counts[result] += 1
        print(f"{result:9} {name:28} {model_class.__name__:44} {detail}", flush=True)
    print(", ".join(f"{count} {result}" for result, count in counts.items()), "of", counts.total())


if __name__ == "__main__":
    main()
