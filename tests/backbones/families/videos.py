"""Families that take videos as such: those that take images, with their own video processors."""

from __future__ import annotations

from typing import Any

from tests.backbones.families import llava, qwen

from savs.backbones._torchvision import on_torch

__all__ = [
    "build_internvl_video",
    "build_llava_onevision_video",
    "build_qwen2_5_vl_video",
    "build_qwen2_vl_video",
    "build_qwen3_vl_video",
]

_PATCHES = {"patch_size": 14, "size": {"shortest_edge": 28 * 28, "longest_edge": 4 * 28 * 28}}


def _with_videos(built: tuple[Any, Any], name: str, mark: str, **options: Any) -> tuple[Any, Any]:
    model, processor = built
    processor.video_processor = on_torch(name)(**options)
    branch = "{% elif c['type'] == 'video' %}" + mark + "{% else %}{{ c['text'] }}"
    processor.chat_template = processor.chat_template.replace("{% else %}{{ c['text'] }}", branch)
    return model, processor


def build_qwen2_vl_video() -> tuple[Any, Any]:
    mark = "<|vision_start|><|video_pad|><|vision_end|>"
    return _with_videos(
        qwen.build_qwen2_vl(), "Qwen2VLVideoProcessor", mark, **_PATCHES, cap_pixels_per_frame=False
    )


def build_qwen2_5_vl_video() -> tuple[Any, Any]:
    mark = "<|vision_start|><|video_pad|><|vision_end|>"
    return _with_videos(
        qwen.build_qwen2_5_vl(), "Qwen2VLVideoProcessor", mark, **_PATCHES, cap_pixels_per_frame=False
    )


def build_qwen3_vl_video() -> tuple[Any, Any]:
    mark = "<|vision_start|><|video_pad|><|vision_end|>"
    sizes = {"patch_size": 14, "size": {"shortest_edge": 2 * 28 * 28, "longest_edge": 16 * 28 * 28}}
    return _with_videos(qwen.build_qwen3_vl(), "Qwen3VLVideoProcessor", mark, **sizes)


def build_llava_onevision_video() -> tuple[Any, Any]:
    size = {"height": 28, "width": 28}
    return _with_videos(llava.build_llava_onevision(), "LlavaOnevisionVideoProcessor", "<video>", size=size)


def build_internvl_video() -> tuple[Any, Any]:
    size = {"height": 28, "width": 28}
    return _with_videos(llava.build_internvl(), "InternVLVideoProcessor", "<video>", size=size)
