"""A packed row says what the stock model says to each of its questions alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from training.architecture import build_model
from training.attention import NAME
from training.drawings import render_drawings
from training.export import build_processor
from training.lmm import ImageFeeder, answer_logits
from training.packing import IGNORE, Packer, block_mask
from training.photos import synthetic_photos
from training.questions.mixture import Mixture
from training.vocabulary import question_texts, train_tokenizer


@pytest.fixture(scope="module")
def mixture():
    return Mixture(synthetic_photos(np.random.default_rng(0), 6), render_drawings(80, 26, 0), 0)


@pytest.fixture(scope="module")
def tokenizer(mixture):
    return train_tokenizer(question_texts(mixture, 150))


@pytest.fixture(scope="module")
def model(tokenizer):
    torch.manual_seed(0)
    return build_model(tokenizer.get_vocab_size()).eval()


def alone(model, processor, mixture, sample, question, n_answer):
    """Logits of the answer of one question, through the chat template and the stock forward."""
    content = []
    for frame in sample.frames:
        content += [{"type": "text", "text": frame}] if frame else []
        content.append({"type": "image"})
    content.append({"type": "text", "text": question.text})
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    images = [Image.fromarray(mixture.pixels(image)) for image in sample.images]
    inputs = processor(images=images, text=f"{prompt}{question.answer}<end>", return_tensors="pt")
    return model(**inputs).logits[0, -n_answer - 1 : -1]


@torch.inference_mode()
@pytest.mark.parametrize("sort", ["photo", "scene", "letter", "pair"])
def test__packed_row__gives_the_logits_of_each_question_alone(sort, mixture, tokenizer, model):
    asked = []
    sample = getattr(mixture, sort)()

    def ask():
        asked.append(sample.ask())
        return asked[-1]

    packer = Packer(tokenizer, 160)
    packed = packer.pack([replace(sample, ask=ask)])
    feeder = ImageFeeder(mixture.photos, mixture.drawings, torch.device("cpu"), np.random.default_rng(0))
    pixels, _, place = feeder.feed(packed, train=False)
    model.model.language_model.set_attn_implementation(NAME)
    logits, _, _ = answer_logits(model, packed, pixels, place)
    model.model.language_model.set_attn_implementation("sdpa")
    processor = build_processor(tokenizer)

    fitting = iter(asked)
    start = 0
    for _, number, _ in packed.families:
        here = packed.block[0] == number
        tokens = packed.ids[0][here].tolist()
        question = next(one for one in fitting if tokens == block_tokens(packer, one))
        n_answer = int((packed.target[0][here] != IGNORE).sum())
        expected = alone(model, processor, mixture, sample, question, n_answer)
        torch.testing.assert_close(logits[start : start + n_answer], expected, atol=1e-5, rtol=1e-4)
        start += n_answer
    assert start == len(logits) > 0


def block_tokens(packer, question):
    """Tokens of a block, written down independently of the packer."""
    return [*packer.encode(question.text), 3, *packer.encode(question.answer), 4]


def test__block_mask__shows_prefix_and_own_block_only():
    seen = block_mask(torch.tensor([[0, 0, 1, 1, 2, -1]]))[0, 0] == 0
    expected = [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 0],
        [1, 1, 0, 0, 0, 1],
    ]
    assert seen.int().tolist() == expected


@pytest.mark.parametrize("text", ["What shape is it?", "(A) cat (B) dog", "Ünïcode 漢字 🙂", "7 of 42", ""])
def test__tokenizer__any_text__loses_nothing_but_spaces(tokenizer, text):
    decoded = tokenizer.decode(tokenizer.encode(text).ids)
    assert decoded.replace(" ", "") == text.replace(" ", "")


def test__tokenizer__stays_small_and_splits_digits(tokenizer):
    assert tokenizer.get_vocab_size() <= 640
    digits = [token for token in tokenizer.encode("1234").tokens if token.strip("Ġ")]
    assert digits == [token for token in digits if len(token.strip("Ġ")) == 1]
