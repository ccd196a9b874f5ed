"""What must hold of a backbone: alone, in batches, with other kernels and dtypes."""

from __future__ import annotations

import copy
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from savs.backbones._canary import tolerance
from savs.backbones._checkpoints import check_kernel_name
from savs.backbones._forward import input_device
from savs.backbones.loading import quiet
from savs.data import Example
from savs.doctor._probes import Probe, contrasts, prefix_probes
from savs.doctor._reference import CHANGE, Side, can_pad, compare, encode, read
from savs.doctor._subject import Rows, Subject
from savs.doctor.report import Check, Verdict
from savs.errors import ItemError, SAVsError

DTYPES = ("float32", "bfloat16", "float16")
KERNELS = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")
LARGEST_COPY = 4 * 2**30
"""Bytes that a second copy of a model may take."""

_REQUIRED = ("text changed", "image swapped", "audio clip swapped", "video swapped")
_FORMS = ("text", "one image", "two images", "one audio clip", "one video")
_REUSE_NAME = "prefix reuse"
_KERNEL_NAME = "_attn_implementation_internal"
_ABSENT = object()


def check_repetition(subject: Subject) -> Check:
    """Read the probes a second time, alone."""
    check = subject.judge(
        "same twice", lambda: read(subject.model, subject.processor, subject.sites, subject.examples)
    )
    return replace(check, note="bit for bit") if check.max_difference == 0 else check


def check_reference(subject: Subject) -> Check:
    """Compare what savs reads for each probe alone with an independent reading."""
    return subject.judge("reference", lambda: subject.extract(subject.examples))


def check_contrasts(subject: Subject) -> list[Check]:
    """Change the text, an image, audio clip or video, or leave it out: the vectors must change, too."""
    pairs = contrasts(subject.backbone.modalities, bool(subject.positions("text")))
    twice = [subject.extract(subject.examples[:1]) for _ in range(2)]
    noise = compare(subject.layout, twice[0], twice[1]).max_difference
    return [_contrast(subject, name, pair, max(CHANGE, 10 * noise)) for name, pair in pairs.items()]


def _contrast(subject: Subject, name: str, pair: tuple[Example, Example], limit: float) -> Check:
    try:
        rows = subject.extract(pair)
    except ItemError as error:
        verdict: Verdict = "unsafe" if name in _REQUIRED else "skipped"
        return Check(name, verdict, note=error.message, must_change=True)
    except SAVsError as error:
        return Check(name, "unsafe", tolerance=limit, note=f"fails: {error}", must_change=True)
    difference = compare(subject.layout, rows[:1], rows[1:])
    changed = difference.max_difference > limit
    return Check(
        name,
        "ok" if changed else "unsafe",
        difference.max_difference,
        difference.min_cosine,
        tolerance=limit,
        note="" if changed else "the vectors stay the same: it does not reach the heads",
        must_change=True,
    )


def check_processor(subject: Subject) -> Check:
    """Ask whether the attention mask marks exactly the tokens that each prompt has alone."""
    name = "processor padding"
    if not can_pad(subject.processor):
        return Check(name, "skipped", note="the tokenizer has no pad token; savs pads by itself")
    try:
        wrong = next(filter(None, (_mask_fault(subject, form) for form in _FORMS)), None)
    except SAVsError as error:
        wrong = f"fails: {error}"
    return Check(name, "unsafe", note=wrong) if wrong else Check(name, "ok")


def _mask_fault(subject: Subject, form: str) -> str | None:
    """Return what is wrong with the mask of one padded batch, or None."""
    examples = [subject.examples[position] for position in subject.positions(form)]
    if len(examples) < 2:
        return None
    padded = encode(subject.processor, examples, "right")
    if padded.get("attention_mask") is None:
        return "no attention mask in a padded batch: prompts and padding cannot be told apart"
    for row, example in enumerate(examples):
        alone = encode(subject.processor, [example])["input_ids"][0].tolist()
        real = padded["attention_mask"][row].ne(0)
        if padded["input_ids"][row][real].tolist() != alone:
            return (
                f"the mask of a padded batch marks {int(real.sum())} tokens of a prompt that has "
                f"{len(alone)} alone, or other ones ({form})"
            )
    return None


def check_padding(subject: Subject, side: Side) -> Check:
    """Read prompts of different length padded to one batch, by the independent reading.

    Parameters
    ----------
    subject : Subject
        What is examined.
    side : {"left", "right"}
        Where the padding goes.
    """
    name = f"padded on the {side}"
    if not can_pad(subject.processor):
        return Check(name, "skipped", note="the tokenizer has no pad token; savs pads by itself")
    groups = [group for group in map(subject.positions, _FORMS) if len(group) > 1]
    if not groups:
        return Check(name, "skipped", note="no two probes of one kind can be read")

    def rows() -> Rows:
        batches = ([subject.examples[position] for position in group] for group in groups)
        return np.concatenate(
            [read(subject.model, subject.processor, subject.sites, batch, side) for batch in batches]
        )

    wrong: Verdict = "unsafe" if side == "right" else "differs"
    note = "" if side == "right" else "savs pads on the right"
    return subject.judge(name, rows, subject.reference[np.concatenate(groups)], wrong=wrong, note=note)


def check_batches(subject: Subject, sizes: Sequence[int]) -> list[Check]:
    """Read the probes in batches of several sizes.

    Parameters
    ----------
    subject : Subject
        What is examined.
    sizes : sequence of int
        Examples per batch.
    """
    return [
        subject.judge(f"batches of {size}", partial(subject.extract, subject.examples, size))
        for size in sizes
    ]


def check_shuffled(subject: Subject, size: int) -> Check:
    """Read the probes in another order, so that each has other neighbors.

    Parameters
    ----------
    subject : Subject
        What is examined.
    size : int
        Examples per batch.
    """
    order = np.random.default_rng(0).permutation(len(subject.examples))
    examples = [subject.examples[position] for position in order]
    return subject.judge("shuffled", lambda: subject.extract(examples, size), subject.reference[order])


def check_mixed(subject: Subject) -> Check:
    """Read prompts with one and with two images in one batch."""
    name = "mixed image counts"
    one, two = subject.positions("one image"), subject.positions("two images")
    if not one or not two:
        reason = subject.refused.get("two images") or "the backbone reads text only"
        return Check(name, "skipped", note=reason)
    positions = np.asarray([*one[:2], *two[:2]])
    examples = [subject.examples[position] for position in positions]
    return subject.judge(name, lambda: subject.extract(examples, 4), subject.reference[positions])


def reuse_probes(subject: Subject) -> list[Probe]:
    """Return the prompts with a common beginning that the backbone can read."""
    candidates = prefix_probes(subject.backbone.modalities)
    backbone = subject.variant(1)
    extraction = backbone.extract([probe.example for probe in candidates], max_errors=-1)
    return [candidates[index] for index in extraction.indices.tolist()]


def check_reuse(subject: Subject, asked: list[Probe], batch_size: int) -> Check:
    """Read prompts with a common beginning with prefix reuse, and each alone.

    "differs" if the backbone's own check has refused to share, which is safe: every prompt was read in full.

    Parameters
    ----------
    subject : Subject
        What is examined.
    asked : list of Probe
        Prompts with a common beginning, from `reuse_probes`.
    batch_size : int
        Examples per batch.
    """
    examples = [probe.example for probe in asked]
    if not examples:
        return Check(
            _REUSE_NAME, "skipped", note="does not apply: no prompts with a common beginning can be read"
        )
    backbone = subject.variant(batch_size, prefix_reuse=True)

    def rows() -> Rows:
        with without_remarks():
            return backbone.extract(examples).features

    try:
        reference = read(subject.model, subject.processor, subject.sites, examples)
    except SAVsError as error:
        return Check(_REUSE_NAME, "unsafe", note=f"fails: {error}")
    check = subject.judge(_REUSE_NAME, rows, reference)
    if check.verdict != "ok":
        return check
    report = backbone.report
    if report.prefix_failure:
        return Check(_REUSE_NAME, "differs", note=f"{report.prefix_failure}; savs reads every prompt in full")
    if not report.n_reused:
        return Check(_REUSE_NAME, "skipped", note="does not apply: no beginning was shared")
    note = f"{report.n_reused} of {report.n_examples} prompts on {report.n_prefixes} beginnings"
    return replace(check, note=note)


@contextmanager
def without_remarks() -> Iterator[None]:
    """Keep the backbones' log lines off the terminal: the doctor says the same in its table."""
    logger = logging.getLogger("savs.backbones")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def check_dtype(subject: Subject, dtype: str) -> Check:
    """Read the probes, each alone, with the same weights in another dtype; "differs" beyond rounding.

    The weights are those of a copy; the caller's model is never changed.

    Parameters
    ----------
    subject : Subject
        What is examined.
    dtype : str
        One of `DTYPES`.
    """
    name, model = f"dtype {dtype}", subject.model
    device = input_device(model).type
    limit = max(tolerance(dtype, device), subject.tolerance)
    if str(model.dtype) == f"torch.{dtype}":
        return Check(name, "ok", 0.0, 1.0, 0, limit, "in use: all other checks ran in it")
    reason = _no_copy(model, dtype)
    if reason:
        return Check(name, "skipped", note=reason)
    try:
        other = _converted(model, getattr(torch, dtype))
    except Exception as error:  # a module may hold anything, such as a handle that cannot be copied
        return Check(name, "skipped", note=f"the model cannot be copied: {' '.join(str(error).split())[:80]}")
    sites = [replace(site, projection=other.get_submodule(site.path)) for site in subject.sites]
    return subject.judge(
        name,
        lambda: read(other, subject.processor, sites, subject.examples),
        wrong="differs",
        limit=limit,
    )


def _no_copy(model: Any, dtype: str) -> str | None:
    """Return why the model cannot be copied, or None."""
    if getattr(model, "hf_device_map", None) or getattr(model, "is_quantized", False):
        return f"the model is spread over devices or quantized; load it with dtype {dtype} to examine it"
    parameters = list(model.parameters())
    if any(parameter.is_meta for parameter in parameters):
        return "parts of the model are offloaded"
    size = torch.empty(0, dtype=getattr(torch, dtype)).element_size()
    n_bytes = sum(p.numel() * max(p.element_size(), size) for p in parameters)
    if n_bytes > LARGEST_COPY:
        gib = n_bytes / 2**30
        return f"a second copy takes {gib:.1f} GiB; load it with dtype {dtype} to examine it"
    return None


def _converted(model: Any, dtype: torch.dtype) -> Any:
    """Return a copy whose saved tensors are of a dtype, as `from_pretrained` loads them.

    Tensors that are not saved, such as rotary frequencies, keep theirs: rounded, they would turn far
    positions by whole radians.
    """
    other = copy.deepcopy(model)
    kept = _kept_in_float32(model)
    for name, tensor in _saved_tensors(other):
        if tensor.is_floating_point() and not any(part in name for part in kept):
            tensor.data = tensor.data.to(dtype)
    return other


def _saved_tensors(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    yield from model.state_dict(keep_vars=True).items()


def _kept_in_float32(model: Any) -> set[str]:
    names: set[str] = set()
    for attribute in ("_keep_in_fp32_modules", "_keep_in_fp32_modules_strict"):
        names |= set(getattr(model, attribute, None) or ())
    return names


def kernel_in_use(model: Any) -> str | None:
    """Return the name of a model's attention kernel, or None if it has no choice."""
    kernel = getattr(model.config, "_attn_implementation", None)
    return None if kernel is None else str(kernel)


def check_kernel(subject: Subject, kernel: str, batch_size: int) -> Check:
    """Read the probes under one kernel, alone and in batches.

    A kernel that is not in use and disagrees "differs"; if eager, which is the definition, disagrees with the
    one in use, that one is "unsafe".

    Parameters
    ----------
    subject : Subject
        What is examined.
    kernel : str
        One of `KERNELS`.
    batch_size : int
        Examples per batch, for the reading in batches.
    """
    name, in_use = f"kernel {kernel}", kernel_in_use(subject.model)
    if kernel == in_use:
        return Check(name, "ok", 0.0, 1.0, 0, subject.tolerance, "in use: all other checks ran under it")
    if kernel == "flex_attention" and input_device(subject.model).type == "cpu":
        return Check(name, "skipped", note="not tried on a CPU, where it compiles for half a minute")
    wrong: Verdict = "unsafe" if kernel == "eager" else "differs"
    try:
        with under_kernel(subject.model, kernel):
            subject.extract(subject.examples[:1])
    except (KernelError, SAVsError) as error:
        why = re.split(r", which|;", str(error))[0].removeprefix(f"the attention kernel {kernel} ")
        return Check(name, "skipped", note=f"not available: {why}")
    with under_kernel(subject.model, kernel):
        alone = subject.judge(name, lambda: subject.extract(subject.examples), wrong=wrong)
        if alone.verdict != "ok" or batch_size == 1:
            return alone
        together = subject.judge(
            name, lambda: subject.extract(subject.examples, batch_size), wrong="differs", note="in batches"
        )
    return together if together.verdict != "ok" else max(alone, together, key=_difference)


def _difference(check: Check) -> float:
    return check.max_difference or 0.0


class KernelError(Exception):
    """A kernel cannot be set; never leaves this package."""


@contextmanager
def under_kernel(model: Any, kernel: str | None) -> Iterator[None]:
    """Run the block under an attention kernel, and put every configuration of the model back afterwards.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Its configurations change during the block alone.
    kernel : str or None
        None for the one in use.

    Raises
    ------
    KernelError
        If the kernel cannot be set, before the block runs.
    """
    if kernel is None or kernel == kernel_in_use(model):
        yield
        return
    before = [(config, vars(config).get(_KERNEL_NAME, _ABSENT)) for config in _configs(model)]
    try:
        _set(model, kernel)
        yield
    finally:
        for config, value in before:
            if value is _ABSENT:
                vars(config).pop(_KERNEL_NAME, None)
            else:
                vars(config)[_KERNEL_NAME] = value


def _set(model: Any, kernel: str) -> None:
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_kernel_name(kernel)
            model.set_attn_implementation(kernel)
    except Exception as error:  # each kernel has its own ways to be missing
        raise KernelError(_brief(error)) from error
    if kernel_in_use(model) != kernel:
        raise KernelError("the model has no choice of kernel")


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:160] or type(error).__name__


def _configs(model: Any) -> list[Any]:
    """Return every configuration object of a model and its parts, each once."""
    configs: dict[int, Any] = {}
    waiting = [module.config for module in model.modules() if hasattr(module, "config")]
    while waiting:
        config = waiting.pop()
        if id(config) in configs or not hasattr(config, "__dict__"):
            continue
        configs[id(config)] = config
        waiting += [
            sub for name in getattr(config, "sub_configs", ()) if (sub := getattr(config, name, None))
        ]
    return list(configs.values())
