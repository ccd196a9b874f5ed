"""Eight questions about each image: the shared beginning read once, one by one, and batched."""

from __future__ import annotations

from benchmarks.findings import Finding, Goal, faster
from benchmarks.images import IMAGE_SIZES, QUESTIONS, questions
from benchmarks.plain import plain_pass
from benchmarks.setting import Setting
from benchmarks.timing import interleave

__all__ = ["measure_questions"]


def measure_questions(setting: Setting) -> list[Finding]:
    """Return how many times faster shared beginnings are read than whole prompts.

    Whole prompts cost the same each: they are read for the first images only, one of each size, and their
    time is multiplied. The check of shared beginnings, one pass at a backbone's first call, is not in it.
    """
    examples = questions(setting.counts.images)
    some = examples[: len(IMAGE_SIZES) * len(QUESTIONS)]
    reuse = setting.backbone()
    alone = setting.backbone(1, prefix_reuse=False)
    batched = setting.backbone(len(QUESTIONS), prefix_reuse=False)
    reuse.extract(examples[: len(QUESTIONS)])
    checked = reuse.report.prefix_check
    times = interleave(
        {
            "shared": lambda: reuse.extract(examples),
            "one by one": lambda: alone.extract(some),
            "batched": lambda: batched.extract(some),
        },
        setting.counts.repeats,
        setting.device,
        setting.advance,
        warm_up=lambda: plain_pass(setting.built, examples[:2]),
    )
    for whole in ("one by one", "batched"):
        times = times.scaled(whole, len(examples) / len(some))
    note = (
        f"{setting.counts.images} images x {len(QUESTIONS)} questions; {reuse.report.n_reused} of "
        f"{len(examples)} read on {reuse.report.n_prefixes} shared beginnings, check: {checked}"
    )
    title = "questions on one image: times faster than"
    return [
        faster(setting.name, f"{title} one by one", times, "shared", "one by one", Goal(">=", 4.0), note),
        faster(setting.name, f"{title} batches of {len(QUESTIONS)}", times, "shared", "batched", None, note),
    ]
