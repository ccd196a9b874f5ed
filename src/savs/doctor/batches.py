"""What must hold for examples together: padding, batches of any size, any order, any numbers of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from savs.doctor.reading import Side, can_pad, encode, read
from savs.doctor.report import Check, Verdict
from savs.doctor.subject import Rows, Subject
from savs.errors import SAVsError

__all__ = ["check_batches", "check_mixed", "check_padding", "check_processor", "check_shuffled"]

_FORMS = ("text", "one image", "two images", "one sound", "one video")


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
    """Say what is wrong with the mask of one padded batch, or None."""
    examples = [subject.examples[position] for position in subject.positions(form)]
    if len(examples) < 2:
        return None
    padded = encode(subject.processor, examples, "right")
    if padded.get("attention_mask") is None:
        return "no attention mask in a padded batch: nothing tells prompts from padding"
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
    """Read prompts of different length padded to one batch, by the independent reading."""
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
    """Read the probes in batches of several sizes."""
    return [
        subject.judge(f"batches of {size}", partial(subject.extract, subject.examples, size))
        for size in sizes
    ]


def check_shuffled(subject: Subject, size: int) -> Check:
    """Read the probes in another order, so that each has other neighbours."""
    order = np.random.default_rng(0).permutation(len(subject.examples))
    examples = [subject.examples[position] for position in order]
    return subject.judge("shuffled", lambda: subject.extract(examples, size), subject.reference[order])


def check_mixed(subject: Subject) -> Check:
    """Read prompts with one and with two pictures in one batch."""
    name = "mixed image counts"
    one, two = subject.positions("one image"), subject.positions("two images")
    if not one or not two:
        reason = subject.refused.get("two images") or "the backbone reads text only"
        return Check(name, "skipped", note=reason)
    positions = np.asarray([*one[:2], *two[:2]])
    examples = [subject.examples[position] for position in positions]
    return subject.judge(name, lambda: subject.extract(examples, 4), subject.reference[positions])
