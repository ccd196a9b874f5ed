"""Small random models of many families, built offline from real transformers classes and processors."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from savs.examples import Example, Image, Message, Text

WORDS = ["the red dog sat on a blue mat", "is this picture a cat? Yes or No.", "<user> 0123456789 !?.,()"]
PADS = ["<pad>", "<eos>", "<bos>"]


@dataclass(frozen=True)
class Family:
    """A model, its processor, and how their makers want them."""

    name: str
    model: Any
    processor: Any


def make_tokenizer(special: list[str] = (), **options: Any) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=360,
        special_tokens=[*PADS, *special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(WORDS, trainer)
    defaults = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **(defaults | options))


CHAT = """{% for m in messages %}<|{{ m['role'] }}|>
{%- if m['content'] is string %}{{ m['content'] }}
{%- else %}
{%- for c in m['content'] %}{% if c['type'] == 'image' %}IMAGE{% else %}{{ c['text'] }}{% endif %}{% endfor %}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|assistant|>{% endif %}"""


def template(image: str = "<image>") -> str:
    return CHAT.replace("IMAGE", image)


def without_video(cls: type) -> type:
    names = [name for name in cls.get_attributes() if "video" not in name]
    return type(cls.__name__, (cls,), {"get_attributes": classmethod(lambda _cls: names)})


TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 12,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 2,
    "initializer_range": 0.25,
}
VISION = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 28,
    "patch_size": 14,
}


def text_options(tokenizer: Any, **more: Any) -> dict[str, Any]:
    return TEXT | {"vocab_size": len(tokenizer)} | more


def build_llava() -> tuple[Any, Any]:
    from transformers import (
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    tokenizer = make_tokenizer(["<image>"])
    images = CLIPImageProcessorPil(
        size={"height": 28, "width": 28}, crop_size={"height": 28, "width": 28}, do_center_crop=False
    )
    processor = LlavaProcessor(
        images,
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template(),
    )
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**VISION),
        text_config=LlamaConfig(**text_options(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=4,
    )
    return LlavaForConditionalGeneration(config), processor


def build_llava_onevision() -> tuple[Any, Any]:
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionImageProcessorPil,
        LlavaOnevisionProcessor,
        Qwen2Config,
        SiglipVisionConfig,
    )

    tokenizer = make_tokenizer(["<image>", "<video>"])
    pinpoints = [[28, 28], [28, 56], [56, 28], [56, 56]]
    images = LlavaOnevisionImageProcessorPil(size={"height": 28, "width": 28}, image_grid_pinpoints=pinpoints)
    processor = without_video(LlavaOnevisionProcessor)(
        images,
        tokenizer,
        num_image_tokens=4,
        vision_feature_select_strategy="full",
        chat_template=template(),
    )
    config = LlavaOnevisionConfig(
        vision_config=SiglipVisionConfig(**VISION, vision_use_head=False),
        text_config=Qwen2Config(**text_options(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=pinpoints,
        vision_feature_select_strategy="full",
    )
    return LlavaOnevisionForConditionalGeneration(config), processor


QWEN_TOKENS = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
QWEN_TEMPLATE = template("<|vision_start|><|image_pad|><|vision_end|>")


def qwen_ids(tokenizer: Any) -> dict[str, int]:
    names = ["vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id"]
    return dict(zip(names, tokenizer.convert_tokens_to_ids(QWEN_TOKENS), strict=True))


def build_qwen2_vl() -> tuple[Any, Any]:
    from transformers import (
        Qwen2VLConfig,
        Qwen2VLForConditionalGeneration,
        Qwen2VLImageProcessorPil,
        Qwen2VLProcessor,
    )

    tokenizer = make_tokenizer(QWEN_TOKENS)
    images = Qwen2VLImageProcessorPil(patch_size=14, min_pixels=28 * 28, max_pixels=4 * 28 * 28)
    processor = without_video(Qwen2VLProcessor)(images, tokenizer, chat_template=QWEN_TEMPLATE)
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    config = Qwen2VLConfig(
        text_config=text_options(tokenizer, rope_parameters=rope, head_dim=8),
        vision_config={
            "depth": 2,
            "embed_dim": 32,
            "hidden_size": 32,
            "num_heads": 4,
            "mlp_ratio": 2,
            "patch_size": 14,
        },
        **qwen_ids(tokenizer),
    )
    return Qwen2VLForConditionalGeneration(config), processor


def build_qwen2_5_vl() -> tuple[Any, Any]:
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessorPil,
    )

    tokenizer = make_tokenizer(QWEN_TOKENS)
    images = Qwen2VLImageProcessorPil(patch_size=14, min_pixels=28 * 28, max_pixels=4 * 28 * 28)
    processor = without_video(Qwen2_5_VLProcessor)(images, tokenizer, chat_template=QWEN_TEMPLATE)
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    config = Qwen2_5_VLConfig(
        text_config=text_options(tokenizer, rope_parameters=rope, head_dim=8),
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 4,
            "out_hidden_size": 32,
            "patch_size": 14,
            "fullatt_block_indexes": [1],
            "window_size": 56,
        },
        **qwen_ids(tokenizer),
    )
    return Qwen2_5_VLForConditionalGeneration(config), processor


def build_qwen3_vl() -> tuple[Any, Any]:
    from transformers import (
        Qwen2VLImageProcessorPil,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
    )

    tokenizer = make_tokenizer(QWEN_TOKENS)
    images = Qwen2VLImageProcessorPil(patch_size=14, min_pixels=28 * 28, max_pixels=4 * 28 * 28)
    processor = without_video(Qwen3VLProcessor)(images, tokenizer, chat_template=QWEN_TEMPLATE)
    rope = {"rope_type": "default", "mrope_section": [2, 2, 2], "rope_theta": 10000.0}
    config = Qwen3VLConfig(
        text_config=text_options(tokenizer, rope_parameters=rope),
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 4,
            "out_hidden_size": 32,
            "patch_size": 14,
            "deepstack_visual_indexes": [0],
            "num_position_embeddings": 16,
        },
        **qwen_ids(tokenizer),
    )
    return Qwen3VLForConditionalGeneration(config), processor


IDEFICS_TOKENS = ["<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>"] + [
    f"<row_{r}_col_{c}>" for r in range(1, 4) for c in range(1, 4)
]


def idefics_parts(image_processor: Any) -> tuple[Any, Any, dict[str, Any]]:
    from transformers import Idefics3Processor

    tokenizer = make_tokenizer(IDEFICS_TOKENS)
    images = image_processor(size={"longest_edge": 56}, max_image_size={"longest_edge": 28})
    processor = Idefics3Processor(images, tokenizer, image_seq_len=4, chat_template=template())
    return processor, tokenizer, VISION | {"patch_size": 7}


def build_idefics3() -> tuple[Any, Any]:
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessorPil,
        LlamaConfig,
    )

    processor, tokenizer, vision = idefics_parts(Idefics3ImageProcessorPil)
    config = Idefics3Config(
        vision_config=vision,
        text_config=LlamaConfig(**text_options(tokenizer)),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
    )
    return Idefics3ForConditionalGeneration(config), processor


def build_smolvlm() -> tuple[Any, Any]:
    # SmolVLMProcessor needs num2words and torchvision; its pictures and text are those of Idefics3Processor.
    from transformers import (
        LlamaConfig,
        SmolVLMConfig,
        SmolVLMForConditionalGeneration,
        SmolVLMImageProcessorPil,
    )

    processor, tokenizer, vision = idefics_parts(SmolVLMImageProcessorPil)
    config = SmolVLMConfig(
        vision_config=vision,
        text_config=LlamaConfig(**text_options(tokenizer)),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
    )
    return SmolVLMForConditionalGeneration(config), processor


def build_gemma3() -> tuple[Any, Any]:
    from transformers import (
        Gemma3Config,
        Gemma3ForConditionalGeneration,
        Gemma3ImageProcessorPil,
        Gemma3Processor,
        Gemma3TextConfig,
        SiglipVisionConfig,
    )

    names = {
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
        "image_token": "<image_soft_token>",
    }
    tokenizer = make_tokenizer(list(names.values()), extra_special_tokens=names)
    images = Gemma3ImageProcessorPil(size={"height": 28, "width": 28})
    processor = Gemma3Processor(
        images, tokenizer, image_seq_length=4, chat_template="<bos>" + template("<start_of_image>")
    )
    ids = {f"{name}_index": tokenizer.convert_tokens_to_ids(token) for name, token in names.items()}
    config = Gemma3Config(
        text_config=Gemma3TextConfig(
            **text_options(
                tokenizer,
                sliding_window=8,
                layer_types=["sliding_attention", "full_attention"],
                query_pre_attn_scalar=12,
            )
        ),
        vision_config=SiglipVisionConfig(**(VISION | {"patch_size": 7}), vision_use_head=False),
        mm_tokens_per_image=4,
        tie_word_embeddings=False,
        boi_token_index=ids["boi_token_index"],
        eoi_token_index=ids["eoi_token_index"],
        image_token_id=ids["image_token_index"],
    )
    return Gemma3ForConditionalGeneration(config), processor


def build_internvl() -> tuple[Any, Any]:
    from transformers import (
        GotOcr2ImageProcessorPil,
        InternVLConfig,
        InternVLForConditionalGeneration,
        InternVLProcessor,
        InternVLVisionConfig,
        Qwen2Config,
    )

    names = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    tokenizer = make_tokenizer(list(names.values()), extra_special_tokens=names)
    images = GotOcr2ImageProcessorPil(
        size={"height": 28, "width": 28}, crop_to_patches=True, min_patches=1, max_patches=2
    )
    processor = without_video(InternVLProcessor)(
        images, tokenizer, image_seq_length=4, chat_template=template("<IMG_CONTEXT>")
    )
    config = InternVLConfig(
        vision_config=InternVLVisionConfig(**(VISION | {"image_size": [28, 28], "patch_size": [7, 7]})),
        text_config=Qwen2Config(**text_options(tokenizer)),
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        downsample_ratio=0.5,
        image_seq_length=4,
    )
    return InternVLForConditionalGeneration(config), processor


def build_paligemma() -> tuple[Any, Any]:
    from transformers import (
        GemmaConfig,
        PaliGemmaConfig,
        PaliGemmaForConditionalGeneration,
        PaliGemmaProcessor,
        SiglipImageProcessorPil,
        SiglipVisionConfig,
    )

    tokenizer = make_tokenizer(["<image>"], extra_special_tokens={"image_token": "<image>"})
    images = SiglipImageProcessorPil(size={"height": 28, "width": 28})
    images.image_seq_length = 4
    processor = PaliGemmaProcessor(images, tokenizer)
    config = PaliGemmaConfig(
        vision_config=SiglipVisionConfig(**VISION, vision_use_head=False, projection_dim=32),
        text_config=GemmaConfig(**text_options(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        projection_dim=32,
    )
    return PaliGemmaForConditionalGeneration(config), processor


def build_llama() -> tuple[Any, Any]:
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer(chat_template="{{ bos_token }}" + template(""))
    return LlamaForCausalLM(LlamaConfig(**text_options(tokenizer))), tokenizer


def build_qwen3() -> tuple[Any, Any]:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    tokenizer = make_tokenizer(chat_template=template(""))
    return Qwen3ForCausalLM(Qwen3Config(**text_options(tokenizer))), tokenizer


def build_gpt2() -> tuple[Any, Any]:
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = make_tokenizer(pad_token=None)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=128,
        bos_token_id=2,
        eos_token_id=1,
        initializer_range=0.25,
    )
    return GPT2LMHeadModel(config), tokenizer


BUILDERS: dict[str, Callable[[], tuple[Any, Any]]] = {
    name.removeprefix("build_"): value for name, value in list(globals().items()) if name.startswith("build_")
}
TEXT_ONLY = ("llama", "qwen3", "gpt2")
PICTURES = tuple(name for name in BUILDERS if name not in TEXT_ONLY)


def make_family(name: str) -> Family:
    import torch

    torch.manual_seed(zlib.crc32(name.encode()))
    model, processor = BUILDERS[name]()
    # Biases and norms start at 0 and 1, which would hide mistakes.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return Family(name, model.eval(), processor)


_BUILT: dict[str, Family] = {}


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny tensors are slower on many threads, above all beside other work."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def family() -> Callable[[str], Family]:
    """Build each family once in a run; tests leave models as they found them, which is what they test."""

    def get(name: str) -> Family:
        if name not in _BUILT:
            _BUILT[name] = make_family(name)
        return _BUILT[name]

    return get


@pytest.fixture
def fresh_family() -> Callable[[str], Family]:
    """Build a family anew, to be broken."""
    return make_family


def picture(seed: int, height: int = 40, width: int = 56) -> np.ndarray:
    """Return a smooth random picture, shape (height, width, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (4, 4, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((height // 4, width // 4, 1), dtype=np.uint8))


def png(array: np.ndarray) -> bytes:
    from PIL import Image as PILImage

    buffer = io.BytesIO()
    PILImage.fromarray(array).save(buffer, "png")
    return buffer.getvalue()


def ask(*parts: Any, id: str | None = None) -> Example:
    """Return an example of strings and picture arrays, in order."""
    made = tuple(Text(part) if isinstance(part, str) else Image(part) for part in parts)
    return Example((Message("user", made),), id=id)


def mixed_examples(pictures: bool = True, text_only: bool = True) -> list[Example]:
    """Return examples of different lengths, numbers and sizes of pictures."""
    texts = ["is this a cat?", "Yes", "the red dog sat on a blue mat. Is this picture a dog? Yes or No."]
    found = [ask(text, id=f"t{i}") for i, text in enumerate(texts)] if text_only or not pictures else []
    if pictures:
        found += [
            ask(picture(1), texts[0], id="p0"),
            ask(picture(2, 28, 28), picture(3, 64, 40), texts[2], id="p1"),
            ask(picture(4, 80, 44), "no", id="p2"),
            ask("first ", picture(5), " then ", picture(6, 32, 96), " same?", id="p3"),
        ]
    return found


@pytest.fixture(name="ask")
def ask_fixture() -> Callable[..., Example]:
    return ask


@pytest.fixture(name="picture")
def picture_fixture() -> Callable[..., np.ndarray]:
    return picture


@pytest.fixture
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Save a family as a folder in hub layout, once in a run."""

    def get(name: str) -> Any:
        if name not in _SAVED:
            built = make_family(name)
            _SAVED[name] = tmp_path_factory.mktemp(name)
            built.model.save_pretrained(_SAVED[name])
            built.processor.save_pretrained(_SAVED[name])
        return _SAVED[name]

    return get


_SAVED: dict[str, Any] = {}


@pytest.fixture
def examples_for() -> Callable[[str], list[Example]]:
    return lambda name: mixed_examples(name in PICTURES, text_only=name != "paligemma")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    groups = {"any_family": (*PICTURES, *TEXT_ONLY), "picture_family": PICTURES, "text_family": TEXT_ONLY}
    for argument, names in groups.items():
        if argument in metafunc.fixturenames:
            metafunc.parametrize(argument, names)
