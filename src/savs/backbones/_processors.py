"""A model's processor: images, audio, videos and text to model inputs, with torchvision or without it.

transformers' own takes audio clips only through the tokenizer of the mistral-common package, which also
writes the prompt. That is a simple one, and its tokens are in the model's tekken.json or tokenizer.json:
here it is a chat template, and the audio clips go through the family's own feature extraction.

Without torchvision, transformers cannot open a processor that also takes videos, nor a few others that only
name torchvision in an import. What they do for images and text needs none of it, so those parts are opened
alone, on the PIL backend, and the part for videos where four functions on torch are enough.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from savs.backbones._model_files import Place, missing_package
from savs.backbones._tokenizers import TokenizerChoice, end_at_generation_prompt, use_tokenizer
from savs.backbones._torchvision import open_video_processor, torchvision_remedy, without_torchvision
from savs.errors import BackboneError

TEMPLATE = (
    "<s>{% for message in messages %}"
    "{% if message['role'] == 'system' %}[SYSTEM_PROMPT]{% elif message['role'] == 'user' %}[INST]{% endif %}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'audio' %}[BEGIN_AUDIO][AUDIO]{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}"
    "{% if message['role'] == 'system' %}[/SYSTEM_PROMPT]"
    "{% elif message['role'] == 'user' %}[/INST]{% else %}</s>{% endif %}"
    "{% endfor %}"
)
"""The prompt of mistral-common's tokenizers of version 7, which Voxtral has."""
_FRAMES_PER_TOKEN = 8  # of the mel spectrogram: the tower halves them, the projector joins four
ImageBackend = Literal["pil", "torchvision"]
_NAMED_IN = ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json")


def load_processor(
    place: Place,
    config: Any,
    image_backend: ImageBackend | None = None,
    tokenizer: TokenizerChoice | None = None,
) -> Any:
    """Return the processor of a model folder or hub name, or its tokenizer if the model takes text alone.

    Parameters
    ----------
    place : Place
    config : transformers.PreTrainedConfig
        The model's.
    image_backend : {"pil", "torchvision"}, optional
        What prepares the pixels; by default torchvision where it is installed and the family has such an
        image processor, else PIL. The two differ by rounding, and so do the vectors.
    tokenizer : {"file", "transformers"}, optional
        Whose token ids are taken where the folder's tokenizer.json and transformers disagree.

    Raises
    ------
    BackboneError
        If it cannot be opened, naming the missing package where one is missing, or if there is no image
        processor on the wanted backend.
    """
    _check_backend(place, image_backend)
    try:
        processor = _open(place, config)
        if image_backend is not None:
            _switch(place, processor, image_backend)
    except BackboneError:
        raise
    except ImportError as error:
        raise BackboneError(f"{place.source}: its processor needs {missing_package(error)}") from error
    except Exception as error:  # every processor has its own ways to fail on foreign files
        raise _processor_error(place, error) from error
    if not callable(getattr(getattr(processor, "tokenizer", processor), "get_vocab", None)):
        raise BackboneError(f"{place.source}: it has no tokenizer (tokenizer.json)")
    use_tokenizer(place, processor, tokenizer)
    end_at_generation_prompt(processor)
    return processor


def _check_backend(place: Place, image_backend: str | None) -> None:
    if image_backend not in ("pil", "torchvision", None):
        raise BackboneError(f"unknown image backend {image_backend!r}; use 'pil' or 'torchvision'")
    if image_backend == "torchvision" and not _has_torchvision():
        raise BackboneError(f"{place.source}: the image backend 'torchvision' needs {torchvision_remedy()}")


def _has_torchvision() -> bool:
    from transformers.utils.import_utils import is_torchvision_available

    return bool(is_torchvision_available())


def _open(place: Place, config: Any) -> Any:
    from transformers import AutoProcessor, AutoTokenizer
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    )
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    if place.gguf is not None:
        return AutoTokenizer.from_pretrained(place.name, **place.options)
    text_alone = type(config) in MODEL_FOR_CAUSAL_LM_MAPPING and type(config) not in PROCESSOR_MAPPING
    if text_alone and type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        return AutoTokenizer.from_pretrained(place.name, **place.options)
    if config.model_type == "voxtral":
        return open_voxtral(place)
    reduced = for_images(_processor_class(place, config))
    if reduced is not None and not _has_torchvision():
        return _with_videos(place, config, reduced.from_pretrained(place.name, **place.options))
    try:
        auto: Any = AutoProcessor  # partly untyped
        return auto.from_pretrained(place.name, **place.options)
    except Exception:
        # A folder without a section for videos, or a package missing that only videos need.
        if reduced is None:
            raise
    return reduced.from_pretrained(place.name, **place.options)


def _with_videos(place: Place, config: Any, processor: Any) -> Any:
    """Give a processor that was opened without its video processor one that needs no torchvision."""
    if isinstance(getattr(processor, "video_processor", None), _NoVideos):
        videos = open_video_processor(place, config.model_type)
        if videos is not None:
            processor.video_processor = videos
    return processor


def _processor_class(place: Place, config: Any) -> Any:
    """Return the class that the model's files name, else the one of its family, else None."""
    import transformers
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    name = next(filter(None, (_named_in(place, file) for file in _NAMED_IN)), None)
    processor_class = getattr(transformers, name, None) if isinstance(name, str) else None
    if processor_class is None and type(config) in PROCESSOR_MAPPING:
        processor_class = PROCESSOR_MAPPING[type(config)]
    return processor_class


def _named_in(place: Place, file: str) -> Any:
    try:
        content = json.loads((place.folder / file).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # opening the processor says what is wrong with it
    return content.get("processor_class") if isinstance(content, dict) else None


def for_images(processor_class: Any) -> Any:
    """Return a class that opens images and text where the given one cannot be opened, or None."""
    if getattr(processor_class, "is_dummy", False):
        return _recovered(processor_class)
    if not hasattr(processor_class, "get_attributes"):
        return None
    videos = any("video" in name for name in processor_class.get_attributes())
    return _without_video(processor_class) if videos else None


def _without_video(processor_class: Any) -> Any:
    """Return a subclass whose parts for videos are None, whatever their place among the arguments."""
    from transformers import ProcessorMixin

    base: Any = ProcessorMixin  # partly untyped
    attributes = processor_class.get_attributes()
    kept = [name for name in attributes if "video" not in name]

    class ImagesAlone(base):  # type: ignore[misc]
        # Comes after the family's class in the order of resolution: what it hands to its base passes here.
        def __init__(self, *args: Any, **options: Any) -> None:
            parts = dict(zip(attributes, args, strict=False)) | options
            super().__init__(**{name: part for name, part in parts.items() if "video" not in name})

    def from_args_and_dict(cls: Any, args: list[Any], *rest: Any, **options: Any) -> Any:
        parts = dict(zip(kept, args, strict=True))
        everything = [parts.get(name) for name in attributes]
        with _without_num2words(processor_class):
            return super(reduced, cls).from_args_and_dict(everything, *rest, **options)

    reduced: Any = type(
        processor_class.__name__,
        (processor_class, ImagesAlone),
        {
            "video_processor": _NoVideos(),
            "get_attributes": classmethod(lambda _cls: list(kept)),
            "from_args_and_dict": classmethod(from_args_and_dict),
        },
    )
    return reduced


class _NoVideos:
    """What processors ask their video processor, also for images.

    SmolVLM's chat template asks for frames. Qwen2.5-Omni's processor of transformers 5.21 squares
    `merge_size`, which it then uses for videos alone.
    """

    num_frames = fps = None
    merge_size = 1


@contextmanager
def _without_num2words(processor_class: Any) -> Iterator[None]:
    """Let SmolVLM's processor be built without the package that spells out the number of a video's frames."""
    module = sys.modules[processor_class.__module__]
    missing = getattr(module, "num2words", ...) is None
    if missing:
        module.num2words = str  # type: ignore[attr-defined]
    try:
        yield
    finally:
        if missing:
            module.num2words = None  # type: ignore[attr-defined]


def _recovered(placeholder: Any) -> Any:
    """Return the real class behind transformers' placeholder if it lacks nothing but torchvision's name."""
    if set(placeholder._backends) != {"torchvision"}:
        return None
    return without_torchvision(placeholder)


def _switch(place: Place, processor: Any, image_backend: str) -> None:
    """Replace the image processor of a processor that was just opened."""
    from transformers import AutoImageProcessor

    auto: Any = AutoImageProcessor  # partly untyped
    present = getattr(processor, "image_processor", None)
    if present is None or getattr(present, "backend", None) == image_backend:
        return
    image_processor = auto.from_pretrained(place.name, backend=image_backend, **place.options)
    if getattr(image_processor, "backend", None) != image_backend:
        raise BackboneError(f"{place.source}: {type(present).__name__} has no {image_backend} backend")
    processor.image_processor = image_processor


def _processor_error(place: Place, error: Exception) -> BackboneError:
    text = str(error)
    if "trust_remote_code" in text:
        return BackboneError(f"{place.source}: its processor needs code from its repository; none is run")
    if "torchvision" in text.lower() and not _has_torchvision():
        return BackboneError(f"{place.source}: its image processor needs {torchvision_remedy()}")
    return BackboneError(
        f"{place.source}: no processor or tokenizer can be opened there ({type(error).__name__}); the "
        "folder needs tokenizer.json and, for images, processor_config.json or preprocessor_config.json"
    )


def open_voxtral(place: Place) -> Any:
    """Return the processor of a Voxtral folder or hub name."""
    from transformers import TokenizersBackend, WhisperFeatureExtractor

    extractor: Any = WhisperFeatureExtractor  # partly untyped
    tokenizer: Any = TokenizersBackend
    return written_prompts()(
        extractor.from_pretrained(place.name, **place.options),
        tokenizer.from_pretrained(place.name, **place.options),
    )


def written_prompts() -> Any:
    """Return the processor class."""
    from transformers import BatchFeature, VoxtralProcessor

    base: Any = VoxtralProcessor  # partly untyped

    class WrittenPrompts(base):  # type: ignore[misc]
        def __init__(self, feature_extractor: Any, tokenizer: Any) -> None:
            super().__init__(feature_extractor, tokenizer)
            self.chat_template = TEMPLATE
            self.chunk_frames = int(feature_extractor.nb_max_frames)

        def apply_chat_template(self, conversation: Any, **options: Any) -> str:
            options = {"chat_template": self.chat_template} | options
            return str(self.tokenizer.apply_chat_template(conversation, **options))

        def __call__(self, text: Sequence[str], audio: Sequence[Any] = (), **options: Any) -> Any:
            rate = options.pop("sampling_rate", self.feature_extractor.sampling_rate)
            chunks = [self._chunks(samples, rate) for samples in audio]
            counts = iter([len(chunk) * self.chunk_frames // _FRAMES_PER_TOKEN for chunk in chunks])
            inputs = dict(self.tokenizer([self._expanded(one, counts) for one in text], **options))
            if chunks:
                import torch

                inputs["input_features"] = torch.cat(chunks)
            return BatchFeature(inputs)

        def _chunks(self, samples: Any, rate: int) -> Any:
            """Return the mel spectrogram of an audio clip, cut; shape (n_chunks, n_mels, chunk_frames)."""
            extractor = self.feature_extractor
            return self._retrieve_input_features(
                [samples],
                max_source_positions=self.chunk_frames,
                sampling_rate=rate,
                padding=True,
                truncation=False,
                pad_to_multiple_of=extractor.n_samples,
                return_tensors="pt",
            )

        def _expanded(self, text: str, counts: Any) -> str:
            first, *rest = text.split(self.audio_token)
            return first + "".join(self.audio_token * next(counts) + piece for piece in rest)

    WrittenPrompts.__name__ = "VoxtralProcessor"
    return WrittenPrompts
