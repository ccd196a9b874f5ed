"""Pictures, sounds and videos of prompts, decoded; what cannot be read is an error of its example alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from savs.backbones.modalities import longest_audio, sampling_rate
from savs.backbones.passes.planning import Failure, Item
from savs.backbones.rendering import Frame
from savs.errors import ItemError, MediaError
from savs.examples import Audio, Image, Video
from savs.media import load_image
from savs.media.audio import load_audio
from savs.media.video import Decoded, decode_video

if TYPE_CHECKING:
    from PIL import Image as PILImage

__all__ = ["Loaded", "load", "video_options"]

# Qwen2-Audio counts a sound of fewer than two tokens (80 ms) in another way in a batch than alone.
_SHORTEST_SECONDS = 0.1


@dataclass(frozen=True)
class Loaded:
    """A prompt with its pictures, sounds and videos decoded.

    Attributes
    ----------
    item : Item
    images : list of PIL.Image.Image
    audios : list of ndarray of float32, shape (n_samples,)
        At the processor's sampling rate.
    videos : list of savs.media.video.Decoded
        Those that are read as videos.
    """

    item: Item
    images: list[PILImage.Image]
    audios: list[NDArray[np.float32]] = field(default_factory=list)
    videos: list[Decoded] = field(default_factory=list)

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Width and height of its pictures and of its videos' frames, in pixels."""
        return [image.size for image in (*self.images, *(f for video in self.videos for f in video.images))]


def load(items: Sequence[Item], processor: Any) -> tuple[list[Loaded], list[Failure]]:
    """Decode what some prompts show and play, as a processor wants it."""
    loaded: list[Loaded] = []
    failures: list[Failure] = []
    for item in items:
        try:
            audios = [_samples(audio, processor) for audio in item.rendered.audios]
            videos = [_frames(video) for video in item.rendered.videos]
            loaded.append(Loaded(item, _decoded(item.rendered.images), audios, videos))
        except ItemError as error:
            failures.append(Failure(item.index, error))
    return loaded, failures


def _decoded(images: Sequence[Image]) -> list[PILImage.Image]:
    """Decode pictures, and each video once for all its frames."""
    videos: dict[int, list[PILImage.Image]] = {}
    decoded: list[PILImage.Image] = []
    for image in images:
        if not isinstance(image, Frame):
            decoded.append(load_image(image.source))
            continue
        key = id(image.video)
        if key not in videos:
            videos[key] = _frames(image.video).images
        decoded.append(videos[key][image.number])
    return decoded


def _frames(video: Video) -> Decoded:
    return decode_video(video.source, video.n_frames, fps=video.fps)


def _samples(audio: Audio, processor: Any) -> NDArray[np.float32]:
    rate, longest = sampling_rate(processor), longest_audio(processor)
    samples = load_audio(audio, rate)
    seconds = len(samples) / rate
    if seconds < _SHORTEST_SECONDS:
        raise MediaError(
            f"the sound has {seconds:.3f} seconds; at least {_SHORTEST_SECONDS:g} are needed",
            code="audio_too_short",
        )
    if longest is not None and seconds > longest:
        raise MediaError(
            f"the sound has {seconds:.1f} seconds, but this backbone hears no more than {longest:g}; cut it",
            code="audio_too_long",
        )
    return samples


def video_options(videos: Sequence[Decoded]) -> dict[str, Any]:
    """Return the arguments that hand videos to a processor: frames that are chosen already, and when.

    Processors reckon a frame's time as its number over the rate; with milliseconds for numbers, videos of a
    variable rate come out right.
    """
    metadata = [
        {
            "fps": 1000.0,
            "total_num_frames": max(1, round(video.duration * 1000)),
            "frames_indices": [round(seconds * 1000) for seconds in video.seconds],
            "duration": video.duration,
            "width": video.images[0].width,
            "height": video.images[0].height,
        }
        for video in videos
    ]
    return {
        "videos": [video.pixels for video in videos],
        "video_metadata": metadata,
        "do_sample_frames": False,
    }
