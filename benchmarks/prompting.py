"""Five prompts about each image, as `savs.SAVModel(prompts=[...])` reads them, against one prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.findings import Finding, Goal, slower
from benchmarks.images import QUESTION, jpeg
from benchmarks.plain import plain_pass
from benchmarks.setting import Setting
from benchmarks.timing import interleave
from savs.backbones import TransformersBackbone
from savs.data import Example, Message
from savs.media import Image
from savs.model import SAVModel

__all__ = ["PROMPTS", "measure_prompts", "tokens_read"]

# Of words that the models' small vocabulary has (`benchmarks.shapes`), as a checkpoint's has all of them.
PROMPTS = (
    QUESTION,
    "Which class is shown in this picture? Answer with the name.",
    "What is the largest object in this picture? Answer with the class name.",
    "Answer with the class name. What is shown in this picture?",
    "Is this a person, animal, vehicle or building? Answer with the class name.",
)
GOAL = Goal("<=", 1.4)


def measure_prompts(setting: Setting) -> list[Finding]:
    """Return the time and the tokens of five prompts over those of one, both read as they are by default.

    The check of shared beginnings, one pass in full at the first call of a backbone, is not in it.
    """
    count = setting.counts.images
    some = max(1, count // 4)
    images = [
        Example((Message("user", (Image(jpeg(20_000 + number)),)),), id=str(number))
        for number in range(count)
    ]
    shared, alone, whole = setting.backbone(), setting.backbone(), setting.backbone(prefix_reuse=False)
    five = SAVModel(shared, prompts=PROMPTS)
    one = SAVModel(alone, prompt=PROMPTS[0])
    each = SAVModel(whole, prompts=PROMPTS)
    runs: dict[str, Callable[[], object]] = {
        "five prompts": lambda: five.head_vectors(images),
        "one prompt": lambda: one.head_vectors(images),
        "five in full": lambda: each.head_vectors(images[:some]),
    }
    five.head_vectors(images[:1])
    tokens = tokens_read(shared, runs["five prompts"]) / tokens_read(alone, runs["one prompt"])
    times = interleave(
        runs,
        setting.counts.repeats,
        setting.device,
        setting.advance,
        warm_up=lambda: plain_pass(setting.built, [images[0]]),
    ).scaled("five in full", count / some)
    note = (
        f"{count} images; {shared.report.n_reused} of {len(PROMPTS) * count} prompts read on "
        f"{shared.report.n_prefixes} shared beginnings, check: {shared.report.prefix_check}"
    )
    title = "five prompts on one image"
    return [
        slower(
            setting.name, f"{title}: time over one prompt's", times, "five prompts", "one prompt", GOAL, note
        ),
        Finding(setting.name, f"{title}: tokens over one prompt's", tokens, tokens, tokens, GOAL, {}, note),
        slower(setting.name, f"{title}, in full: time over one's", times, "five in full", "one prompt", None),
    ]


def tokens_read(backbone: TransformersBackbone, run: Callable[[], object]) -> int:
    """Return how many tokens, padding included, pass the first attention layer while something runs.

    Parameters
    ----------
    backbone : TransformersBackbone
        Whose model is watched.
    run : callable
    """
    with _counting(backbone) as counted:
        run()
    return sum(counted)


@contextmanager
def _counting(backbone: TransformersBackbone) -> Iterator[list[int]]:
    """Yield the tokens of each pass: rows of what the first layer's output projection gets."""
    counted: list[int] = []
    site = backbone.anatomy.sites[0].projection
    hook = site.register_forward_pre_hook(
        lambda _module, inputs: counted.append(inputs[0].numel() // inputs[0].shape[-1])
    )
    try:
        yield counted
    finally:
        hook.remove()
