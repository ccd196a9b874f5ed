"""The backbone under examination, with its reference vectors: what every check works on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.backbones import TransformersBackbone
from savs.backbones._attention_sites import AttentionSite
from savs.backbones._canary import tolerance
from savs.backbones._forward import input_device
from savs.data import Example
from savs.doctor._probes import Probe, probes
from savs.doctor._reference import compare, flips, read
from savs.doctor.report import Check, Verdict
from savs.errors import BackboneError, SAVsError
from savs.layout import HeadLayout

Rows = NDArray[np.float32]


@dataclass
class Subject:
    """A backbone and what is known of it.

    Attributes
    ----------
    backbone : TransformersBackbone
        Never changed.
    probes : list of Probe
        Those that it can read.
    refused : dict of str to str
        Forms of prompts that it cannot read, each with the reason.
    reference : ndarray of float32, shape (n_probes, layout.width)
        Vectors of the probes, each read alone by `savs.doctor._reference`.
    tolerance : float
        Of its dtype on its device.
    """

    backbone: TransformersBackbone
    probes: list[Probe]
    refused: dict[str, str]
    reference: Rows
    tolerance: float
    labels: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.labels = [probe.label for probe in self.probes]

    @property
    def model(self) -> Any:
        """The model of the backbone."""
        return self.backbone.model

    @property
    def processor(self) -> Any:
        """The processor of the backbone."""
        return self.backbone.processor

    @property
    def layout(self) -> HeadLayout:
        """All its heads."""
        return self.backbone.layout

    @property
    def sites(self) -> tuple[AttentionSite, ...]:
        """Its attention sites."""
        return self.backbone.anatomy.sites

    @property
    def examples(self) -> list[Example]:
        """The probes' examples."""
        return [probe.example for probe in self.probes]

    def positions(self, *forms: str) -> list[int]:
        """Return which probes are of the given forms."""
        return [position for position, probe in enumerate(self.probes) if probe.form in forms]

    def variant(self, batch_size: int, *, prefix_reuse: bool = False) -> TransformersBackbone:
        """Return the same backbone, on the same model, with another batch size and use of prefixes.

        Parameters
        ----------
        batch_size : int
            Examples per forward pass.
        prefix_reuse : bool, default=False
            Read what prompts have in common once.
        """
        return self.backbone.in_mode(batch_size, prefix_reuse=prefix_reuse, accept_faults=True)

    def extract(self, examples: Sequence[Example], batch_size: int = 1) -> Rows:
        """Return vectors as `savs` reads them, without prefix reuse.

        Parameters
        ----------
        examples : sequence of Example
            Prompts.
        batch_size : int, default=1
            Examples per forward pass.
        """
        return self.variant(batch_size).extract(examples).features

    def judge(
        self,
        name: str,
        read_rows: Callable[[], Rows],
        reference: Rows | None = None,
        *,
        wrong: Verdict = "unsafe",
        limit: float | None = None,
        note: str = "",
    ) -> Check:
        """Return whether some rows equal the reference.

        Parameters
        ----------
        name : str
            Of the check.
        read_rows : callable
            Reads them; if it fails, the check has the verdict `wrong`.
        reference : ndarray of float32, shape (n_rows, layout.width), optional
            By default that of all probes.
        wrong : {"unsafe", "differs"}
            The verdict where they do not.
        limit : float, optional
            Largest difference that counts as rounding; by default the tolerance of the backbone's dtype.
        note : str
            For the report.
        """
        reference = self.reference if reference is None else reference
        limit = self.tolerance if limit is None else limit
        try:
            rows = read_rows()
        except SAVsError as error:
            return Check(name, wrong, tolerance=limit, note=f"fails: {error}")
        if not np.isfinite(rows).all():
            return Check(name, wrong, tolerance=limit, note="gives NaN or infinite values")
        difference = compare(self.layout, rows, reference)
        changed = flips(self.layout, self.reference, self.labels, (rows, reference))
        verdict: Verdict = "ok" if difference.max_difference <= limit else wrong
        return Check(name, verdict, difference.max_difference, difference.min_cosine, changed, limit, note)


def admit(backbone: TransformersBackbone) -> Subject:
    """Read all probes that the backbone can read and take their vectors for the reference.

    Raises
    ------
    BackboneError
        If it cannot read any.
    """
    candidates = probes(backbone.modalities)
    single = backbone.in_mode(1, prefix_reuse=False, accept_faults=True)
    extraction = single.extract([probe.example for probe in candidates], max_errors=-1)
    readable = extraction.indices.tolist()
    kept = [candidates[index] for index in readable]
    failed = sorted(set(range(len(candidates))) - set(readable))
    refused: dict[str, str] = {}
    for index, error in zip(failed, extraction.errors, strict=True):
        refused.setdefault(candidates[index].form, error.message)
    if len({probe.label for probe in kept}) < 2:
        raise BackboneError(f"the backbone reads none of the probes: {next(iter(refused.values()))}")
    model = backbone.model
    dtype = str(model.dtype).removeprefix("torch.")
    rows = read(model, backbone.processor, backbone.anatomy.sites, [probe.example for probe in kept])
    return Subject(backbone, kept, refused, rows, tolerance(dtype, input_device(model).type))
