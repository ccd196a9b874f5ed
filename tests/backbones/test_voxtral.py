"""Voxtral's prompt, token by token, from a tekken.json as its makers ship it."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from savs.backbones._model_files import Place
from savs.backbones._processors import open_voxtral
from savs.backbones._rendering import render
from savs.data import Example, Message, Text
from savs.errors import ItemError
from savs.media import Audio

BEGIN, AUDIO, BOS, EOS, ASK, ASKED, SYSTEM, SYSTEMED = 25, 24, 1, 2, 3, 4, 17, 18
NAMES = {
    0: "<unk>",
    BOS: "<s>",
    EOS: "</s>",
    ASK: "[INST]",
    ASKED: "[/INST]",
    SYSTEM: "[SYSTEM_PROMPT]",
    SYSTEMED: "[/SYSTEM_PROMPT]",
    AUDIO: "[AUDIO]",
    BEGIN: "[BEGIN_AUDIO]",
}
PATTERN = r"[^\r\n\p{L}\p{N}]?[\p{L}]+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
N_SPECIAL = 40


@pytest.fixture(scope="module")
def processor(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformers import WhisperFeatureExtractor

    folder = tmp_path_factory.mktemp("voxtral")
    pieces = [bytes([value]) for value in range(256)]
    pieces += [
        b"th",
        b"the",
        b" t",
        b" th",
        b" the",
        b"is",
        b"it",
        b" i",
        b" it",
        b"ca",
        b"cat",
        b" c",
        b" ca",
        b" cat",
    ]
    vocabulary = [
        {"rank": rank, "token_bytes": base64.b64encode(piece).decode(), "token_str": None}
        for rank, piece in enumerate(pieces)
    ]
    special = [
        {"rank": rank, "token_str": NAMES.get(rank, f"<SPECIAL_{rank}>"), "is_control": True}
        for rank in range(N_SPECIAL)
    ]
    config = {
        "pattern": PATTERN,
        "num_vocab_tokens": len(pieces),
        "default_vocab_size": len(pieces) + N_SPECIAL,
        "default_num_special_tokens": N_SPECIAL,
        "version": "v7",
    }
    tekken = {"config": config, "vocab": vocabulary, "special_tokens": special}
    (folder / "tekken.json").write_text(json.dumps(tekken))
    (folder / "config.json").write_text("{}")
    WhisperFeatureExtractor(feature_size=128).save_pretrained(folder)
    return open_voxtral(Place(folder, str(folder)))


def chat(*messages: tuple[str, list[Any]]) -> Example:
    return Example(
        tuple(
            Message(role, tuple(Text(part) if isinstance(part, str) else part for part in parts))
            for role, parts in messages
        )
    )


def ids(processor: Any, example: Example) -> list[int]:
    prompt = render(processor, example)
    audio = [part.source for part in prompt.audios]
    found = processor(text=[prompt.text], audio=audio, add_special_tokens=prompt.add_special_tokens)
    return found["input_ids"][0]


def words(*pieces: str) -> list[int]:
    """Return ids of bytes and of the merged pieces, by hand: bytes come after the special tokens."""
    merged = {"the": 257, " the": 260, "is": 261, "it": 262, " it": 264, " cat": 269}
    return [N_SPECIAL + (merged[piece] if piece in merged else ord(piece)) for piece in pieces]


def silence(seconds: float) -> Audio:
    return Audio(np.zeros(int(16_000 * seconds), np.float32), 16_000)


QUESTION = ("is", " it", " the", " cat", "?")


def test__prompt__audio_then_question__as_mistral_common_writes_it(processor: Any) -> None:
    found = ids(processor, chat(("user", [silence(0.5), "is it the cat?"])))
    assert found == [BOS, ASK, BEGIN, *[AUDIO] * 375, *words(*QUESTION), ASKED]


def test__prompt__longer_than_a_piece__two_of_them(processor: Any) -> None:
    found = ids(processor, chat(("user", [silence(31.0), "is it the cat?"])))
    assert found == [BOS, ASK, BEGIN, *[AUDIO] * 750, *words(*QUESTION), ASKED]


def test__prompt__text_around_two_audios__in_order(processor: Any) -> None:
    found = ids(processor, chat(("user", ["is it", silence(0.5), " the cat?", silence(0.1)])))
    audio = [BEGIN, *[AUDIO] * 375]
    assert found == [BOS, ASK, *words("is", " it"), *audio, *words(" the", " cat", "?"), *audio, ASKED]


def test__prompt__turns_and_system__as_mistral_common_writes_them(processor: Any) -> None:
    turns = chat(("user", ["is it"]), ("assistant", ["the cat"]), ("user", ["is it the cat?"]))
    asked = [ASK, *words(*QUESTION), ASKED]
    first = [BOS, ASK, *words("is", " it"), ASKED]
    assert ids(processor, turns) == [*first, *words("the", " cat"), EOS, *asked]
    system = chat(("system", ["the"]), ("user", ["is it the cat?"]))
    assert ids(processor, system) == [BOS, SYSTEM, *words("the"), SYSTEMED, *asked]


def test__prompt__own_token_in_the_text__item_error(processor: Any) -> None:
    with pytest.raises(ItemError) as caught:
        render(processor, chat(("user", [silence(0.5), "what is [AUDIO]?"])))
    assert caught.value.code == "audio_count"
