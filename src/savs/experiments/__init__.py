"""Experiments on a dataset: what accuracy depends on, and whether a shortcut explains it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savs._lazy import attach

if TYPE_CHECKING:
    from savs.experiments.heads import heads_experiment
    from savs.experiments.interleaved import interleaved_experiment
    from savs.experiments.noise import noise_experiment
    from savs.experiments.results import Experiment, Row
    from savs.experiments.shortcuts import ShortcutAudit, shortcut_audit
    from savs.experiments.shots import shots_experiment
    from savs.experiments.transfer import transfer_experiment

__all__ = [
    "Experiment",
    "Row",
    "ShortcutAudit",
    "heads_experiment",
    "interleaved_experiment",
    "noise_experiment",
    "shortcut_audit",
    "shots_experiment",
    "transfer_experiment",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "savs.experiments.heads": ["heads_experiment"],
        "savs.experiments.interleaved": ["interleaved_experiment"],
        "savs.experiments.noise": ["noise_experiment"],
        "savs.experiments.results": ["Experiment", "Row"],
        "savs.experiments.shortcuts": ["ShortcutAudit", "shortcut_audit"],
        "savs.experiments.shots": ["shots_experiment"],
        "savs.experiments.transfer": ["transfer_experiment"],
    },
)
