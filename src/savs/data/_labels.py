"""Labels of examples and the check of texts, which `savs._labels` holds for examples and arrays alike."""

from __future__ import annotations

from savs._labels import DataWarning, as_label, check_labels, check_text, has_surrogate

__all__ = ["DataWarning", "as_label", "check_labels", "check_text", "has_surrogate"]
