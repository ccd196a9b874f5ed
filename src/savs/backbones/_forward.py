"""Runs a model without changing it: evaluation mode, no gradients, everything as it was afterwards."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import nn

from savs.backbones._known_faults import failure_hint
from savs.backbones._memory import OutOfMemoryError, is_out_of_memory
from savs.backbones._quantization import keep_weights
from savs.backbones._rendering import tokenizer_of
from savs.backbones._thinking import decoded
from savs.errors import BackboneError

_LOCKS: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()
_NEW_LOCK = threading.Lock()
_RUNNING: WeakSet[nn.Module] = WeakSet()
_Registries = list[tuple[dict[Any, Any], dict[Any, Any]]]
_EMPTY: dict[Any, Any] = {}
_CACHE_NAMES = ("cache", "past_key_values")  # the newer one first
_KINDS_OF_TOKENS = "mm_token_type_ids"
_PIXELS = ("pixel_values", "pixel_values_videos")
_MEDIA = {"pixel_values": "images", "pixel_values_videos": "videos", "input_features": "audios"}


@contextmanager
def frozen(model: nn.Module) -> Iterator[Callable[[], None]]:
    """Put the model in evaluation mode without gradients, and restore all its modules' attributes afterwards.

    Models remember things between calls: training flags, rope offsets, rescaled rotary tables, and the
    capturing hooks that transformers installs for good at the first call. All of that is put back, also after
    an exception. Threads that run the same model wait for each other: hooks of one would read what another's
    examples give. Gradients are switched off by `torch.no_grad`, not by inference mode, whose tensors would
    break the caller's training if a module kept one.

    Yields
    ------
    callable
        Makes the model forget, inside the block, what it remembers of the calls before.

    Raises
    ------
    BackboneError
        If this thread is in such a block of this model already, as in one of its hooks: the hooks of the pass
        that waits would read this one's examples.
    """
    with lock_of(model), _once_at_a_time(model):
        before = [(module, *snapshot(module)) for module in model.modules()]

        def forget() -> None:
            restore_all(before)
            _make_ready(model)

        try:
            _make_ready(model)
            with torch.no_grad(), uncompiled(model):
                yield forget
        finally:
            restore_all(before)


def lock_of(model: nn.Module) -> threading.RLock:
    with _NEW_LOCK:
        return _LOCKS.setdefault(model, threading.RLock())


@contextmanager
def _once_at_a_time(model: nn.Module) -> Iterator[None]:
    if model in _RUNNING:
        raise BackboneError(
            f"{type(model).__name__} is asked for vectors while it computes others, as in one of its hooks; "
            "ask before or after"
        )
    _RUNNING.add(model)
    try:
        yield
    finally:
        _RUNNING.discard(model)


def _make_ready(model: nn.Module) -> None:
    model.eval()
    keep_weights(model)


@contextmanager
def uncompiled(model: nn.Module) -> Iterator[None]:
    """Run what ``module.compile()`` has compiled as if it were not: hooks and the early stop need it."""
    if not any(module._compiled_call_impl is not None for module in model.modules()):
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


def restore_all(before: list[tuple[nn.Module, dict[str, Any], _Registries]]) -> None:
    for module, attributes, registries in before:
        _restore(module, attributes, registries)


def snapshot(module: nn.Module) -> tuple[dict[str, Any], _Registries]:
    """Return a module's attributes, and its dictionaries (hooks, buffers, children) each with a copy."""
    attributes = dict(vars(module))
    # Most registries are empty: one shared empty copy makes this five times faster.
    return attributes, [
        (value, dict(value) if value else _EMPTY) for value in attributes.values() if isinstance(value, dict)
    ]


def _restore(module: nn.Module, attributes: dict[str, Any], registries: _Registries) -> None:
    now = vars(module)
    for name in now.keys() - attributes.keys():
        del now[name]
    now.update(attributes)
    for registry, content in registries:
        # Hooks and the flag that says they are installed must go together: hooks left behind without the flag
        # would be installed again at the next call and record every state twice.
        if registry.keys() != content.keys() or any(registry[key] is not content[key] for key in content):
            registry.clear()
            registry.update(content)


def accepted_inputs(model: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the model's forward takes, on its device, floating tensors in its dtype.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Its ``forward`` names what it takes.
    inputs : mapping of str to Tensor
        What the processor returned, and keys and values of earlier tokens under ``cache``.

    Raises
    ------
    BackboneError
        If it names none of the floating tensors, or not those of images, videos or audio clips: a language
        model alone takes them for options of its layers, and answers as if there were none. Or if it takes
        ``mm_token_type_ids``, which say where pixels are, and there are pixels without them: it goes on with
        the positions of text.
    """
    device = input_device(model)
    parameters = inspect.signature(model.forward).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    inputs = {_cache_name(model) if name == "cache" else name: value for name, value in inputs.items()}
    media = [n for n, v in inputs.items() if isinstance(v, torch.Tensor) and v.is_floating_point()]
    ignored = [name for name in media if name not in parameters]
    if ignored and (ignored == media or any(name in _MEDIA for name in ignored)):
        kinds = " and ".join(_MEDIA.get(name, "images") for name in ignored)
        raise BackboneError(
            f"{type(model).__name__} takes no {' or '.join(ignored)}, so {kinds} would be ignored; use the "
            "whole model that belongs to the processor, or the tokenizer in the processor's place"
        )
    shown = next((kind for name, kind in _MEDIA.items() if name in inputs and name in _PIXELS), None)
    if shown and _KINDS_OF_TOKENS in parameters and _KINDS_OF_TOKENS not in inputs:
        raise BackboneError(
            f"{type(model).__name__} takes {_KINDS_OF_TOKENS}, and the processor gave none: the positions of "
            f"{shown} would be wrong; use the processor of the model's own folder, unchanged"
        )
    return {
        name: _placed(value, device, model.dtype)
        for name, value in inputs.items()
        if takes_any or name in parameters
    }


def _cache_name(model: Any) -> str:
    """Return what the model calls keys and values of earlier tokens: transformers 5.24 renamed the argument.

    Asked of the model, or of its decoder where the model passes on whatever it gets (BLIP-2): the old name
    warns from 5.24 on, and releases before ignore the new one without a word.
    """
    decoder = getattr(model, "get_decoder", lambda: None)()
    takers = [inspect.signature(taker.forward).parameters for taker in (model, decoder) if taker is not None]
    return next((name for names in takers for name in _CACHE_NAMES if name in names), _CACHE_NAMES[-1])


def _placed(value: Any, device: torch.device, dtype: torch.dtype) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    wanted = dtype if value.is_floating_point() else None
    return value.to(device=device, dtype=wanted, non_blocking=device.type == "cuda")


def run_forward(model: Any, inputs: Mapping[str, Any]) -> Any:
    """Call the model and return its output; nothing is cached unless the inputs ask for it.

    Raises
    ------
    OutOfMemoryError
        If it does not fit.
    BackboneError
        If the model fails otherwise; it names the reason.
    """
    parameters = inspect.signature(model.forward).parameters
    options = {"use_cache": False} if "use_cache" in parameters else {}
    with model_failures(model), completed(model):
        return model(**{**options, **inputs})


@contextmanager
def completed(model: Any) -> Iterator[None]:
    """Bring a forward pass that is cut short, by an error or by the early stop, to its proper end."""
    try:
        yield
    except BaseException:
        put_away(model)
        raise


@contextmanager
def model_failures(model: Any) -> Iterator[None]:
    """Turn whatever a model raises into a `BackboneError`."""
    try:
        yield
    except BackboneError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise OutOfMemoryError("the device is out of memory") from error
        reason = " ".join(str(error).split())[:200]
        raise BackboneError(
            f"{type(model).__name__} failed on a batch: {type(error).__name__}: {reason}{failure_hint(model)}"
        ) from error


def generate_answers(model: Any, processor: Any, inputs: Mapping[str, Any], max_new_tokens: int) -> list[str]:
    """Return the continuation of each prompt, without special tokens but those around thoughts, stripped.

    Parameters
    ----------
    model, processor
        As loaded; not changed.
    inputs : mapping
        Padded on the left, so that every answer starts right after its prompt.
    max_new_tokens : int
        Longer answers are cut.

    Raises
    ------
    BackboneError
        If the model cannot generate or fails.
    """
    if not getattr(model, "can_generate", lambda: False)():
        raise BackboneError(f"{type(model).__name__} cannot generate text")
    with model_failures(model), completed(model):
        tokens = model.generate(**inputs, generation_config=_greedy(model, processor, max_new_tokens))
    answers = tokens[:, inputs["input_ids"].shape[1] :]
    return [decoded(tokenizer_of(processor), row).strip() for row in answers.tolist()]


def _greedy(model: Any, processor: Any, max_new_tokens: int) -> Any:
    import transformers

    make: Any = transformers.GenerationConfig  # untyped

    own = model.generation_config
    tokenizer = tokenizer_of(processor)
    end = own.eos_token_id if own.eos_token_id is not None else tokenizer.eos_token_id
    pads = (own.pad_token_id, tokenizer.pad_token_id, end[0] if isinstance(end, list) else end, 0)
    return make(
        do_sample=False,
        num_beams=1,
        max_new_tokens=max_new_tokens,
        bos_token_id=own.bos_token_id,
        eos_token_id=end,
        pad_token_id=next(pad for pad in pads if pad is not None),
    )


def input_device(model: Any) -> torch.device:
    """Return where a model wants its inputs; its own `device` is "meta" while its weights are offloaded."""
    if model.device.type != "meta":
        return torch.device(model.device)
    for _, _, hook in _hooks(model):
        device = getattr(hook, "execution_device", None)
        if device is not None and torch.device(device).type != "meta":
            return torch.device(device)
    return torch.device("cpu")


def put_away(model: nn.Module) -> None:
    """Put the weights away that a forward pass has left loaded because it was cut short.

    accelerate does so at the end of each module's forward, which an exception skips. What stays takes memory,
    and its address, by which accelerate finds shared weights, may become another weight's.
    """
    for _, module, hook in _hooks(model):
        if getattr(hook, "offload", False) and any(not tensor.is_meta for _, tensor in _held(module, hook)):
            hook.post_forward(module, None)


def put_away_weights(model: nn.Module) -> dict[str, tuple[Mapping[str, torch.Tensor], str]]:
    """Return, by a weight's name in the model, what holds it while it is put away and its name there."""
    tensors: dict[str, tuple[Mapping[str, torch.Tensor], str]] = {}
    for path, module, hook in _hooks(model):
        values = getattr(hook, "weights_map", None)
        if getattr(hook, "offload", False) and values is not None:
            for name, _ in _held(module, hook):
                tensors[f"{path}.{name}" if path else name] = (values, name)
    return tensors


def _held(module: nn.Module, hook: Any) -> Iterator[tuple[str, torch.Tensor]]:
    from accelerate.utils.modeling import named_module_tensors

    yield from named_module_tensors(
        module,
        include_buffers=hook.offload_buffers,
        recurse=hook.place_submodules,
        remove_non_persistent=True,
    )


def _hooks(model: nn.Module) -> Iterator[tuple[str, nn.Module, Any]]:
    for path, module in model.named_modules(remove_duplicate=False):
        hook = getattr(module, "_hf_hook", None)
        if hook is not None:
            yield from ((path, module, part) for part in getattr(hook, "hooks", (hook,)))
