"""Text to token ids as the model was trained on it, where transformers builds its tokenizer anew.

transformers 5 takes vocabulary and merges from a folder's tokenizer.json, and the rest (how text is
normalized and cut before the merges) from the tokenizer class that the folder names or its architecture
stands for. Where that is another than the file was written for, the ids are others, and nothing is said.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from savs.backbones._gguf import unknown_split
from savs.backbones._model_files import Place
from savs.backbones._rendering import PromptRenderer, chat_template, media_tokens, tokenizer_of
from savs.backbones._template_options import template_options
from savs.data import Example, Message, Text
from savs.errors import BackboneError, ItemError

__all__ = [
    "TokenizerChoice",
    "TokenizerWarning",
    "compare_with_file",
    "end_at_generation_prompt",
    "follows_file",
    "prompt_faults",
    "reading_options",
    "use_tokenizer",
]

TokenizerChoice = Literal["file", "transformers"]
CHOICES = ("file", "transformers")
TEXTS = (
    "In 2024 it cost 1234567.89 dollars",
    "It's what they're asking, isn't it? WE'LL SEE",
    "  two blanks before,  two between, one behind ",
    "one line\nanother\n\n\tand a third\r\n",
    "\uff26\uff55\uff4c\uff4c\u3000\uff57\uff49\uff44\uff54\uff48 \uff11\uff12 \ufb01 \u2460 \u338f",
    "naïve Größe, Привет мир, 你好世界, नमस्ते, 🙂👍🏽",
    "nai\u0308ve Gro\u0308ße, e\u0301",
    "def f(x):\n    return x**2  # https://example.org/a_b?c=1",
    "7 42 365 1984 86400 299792 3141592 27182818 602214076 6674300000 12345678901234567890",
)
"""Texts on which tokenizers differ: digits, apostrophes, blanks, lines, wide and composed forms, code."""
_AROUND = ("{0}\nwhat", "{0} what", "is {0} red?", "is\n{0}\n\nred?")
_SHOWN = 8  # ids
# Attributes of tokenizers, so that copies of them have them too.
_FOLLOWS_FILE = "savs_follows_file"
_LEAVES_OUT_EOS = "savs_leaves_out_eos"


class TokenizerWarning(UserWarning):
    """A tokenizer reads text otherwise than the model was trained on it."""


@dataclass(frozen=True)
class Difference:
    """A text that two tokenizers read differently.

    Attributes
    ----------
    text : str
    by_transformers, by_file : list of int
        Its token ids, without special tokens.
    """

    text: str
    by_transformers: list[int]
    by_file: list[int]

    def __str__(self) -> str:
        pairs = zip(self.by_transformers, self.by_file, strict=False)
        start = next((i for i, (one, other) in enumerate(pairs) if one != other), 0)
        start = max(0, start - 2)
        theirs, files = (_excerpt(ids, start) for ids in (self.by_transformers, self.by_file))
        return f"{self.text!r} is {theirs} to it and {files} by the file"


def _excerpt(ids: list[int], start: int) -> str:
    shown = ", ".join(map(str, ids[start : start + _SHOWN]))
    return f"[{'..., ' if start else ''}{shown}{', ...' if len(ids) > start + _SHOWN else ''}]"


def use_tokenizer(place: Place, processor: Any, choice: TokenizerChoice | None) -> None:
    """Let a processor that was just opened read text as its folder's tokenizer.json does, unless told not to.

    Parameters
    ----------
    place : Place
        Of the model.
    processor : transformers processor or tokenizer
        Opened a moment ago; its tokenizer may be changed.
    choice : {"file", "transformers"}, optional
        Whose ids are taken where the two disagree; by default the file's, with a warning.

    Raises
    ------
    BackboneError
        If the choice is unknown, or the file cannot be followed.

    Warns
    -----
    TokenizerWarning
        If they disagree and nothing was chosen.
    """
    if choice not in (None, *CHOICES):
        raise BackboneError(f"unknown tokenizer {choice!r}; use {' or '.join(map(repr, CHOICES))}")
    if place.gguf is not None:
        _warn_of_unknown_split(place)
    if choice == "transformers":
        return
    difference = None if place.gguf is not None else compare_with_file(place.folder, processor)
    if difference is None:
        return
    name = type(tokenizer_of(processor)).__name__
    _follow_file(place.folder, processor)
    left = compare_with_file(place.folder, processor)
    if left is not None:
        raise BackboneError(
            f"{place.source}: its tokenizer.json cannot be followed ({left}); use tokenizer='transformers', "
            "or hand in your own with processor="
        )
    if choice is None:
        import transformers

        warnings.warn(
            f"{place.source}: transformers {transformers.__version__} builds its tokenizer anew as {name}, "
            f"and not as its tokenizer.json says: {difference}. The file is followed, as models are trained "
            "with what it says; tokenizer='file' (--tokenizer file) does so without this warning, "
            "tokenizer='transformers' takes the other ids",
            TokenizerWarning,
            stacklevel=2,
        )
    setattr(tokenizer_of(processor), _FOLLOWS_FILE, True)


def _warn_of_unknown_split(place: Place) -> None:
    rule = unknown_split(place.gguf_header)
    if rule is not None:
        warnings.warn(
            f"{place.source}: before its merges, text is cut by the rule {rule!r}, which transformers does "
            "not know and replaces by GPT-2's: numbers, apostrophes and blanks may get other token ids than "
            "the model was trained on; use the folder of the original model",
            TokenizerWarning,
            stacklevel=3,
        )


def follows_file(processor: Any) -> bool:
    """Return whether a processor's tokenizer was changed to read text as its folder's tokenizer.json does."""
    return getattr(tokenizer_of(processor), _FOLLOWS_FILE, False) is True


def compare_with_file(folder: Path, processor: Any) -> Difference | None:
    """Return a text that a processor's tokenizer reads otherwise than its folder's tokenizer.json, or None.

    Parameters
    ----------
    folder : Path
        Of the model; without that file there is nothing to compare.
    processor : transformers processor or tokenizer
        Opened from it.
    """
    backend = getattr(tokenizer_of(processor), "backend_tokenizer", None)
    file = folder / "tokenizer.json"
    if backend is None or not file.is_file():
        return None
    content = json.loads(file.read_text(encoding="utf-8"))
    if _pipeline(content) == _pipeline(json.loads(backend.to_str())):
        return None
    by_file = _from_file(folder)
    for text in (*TEXTS, *_texts_with_tokens(processor, content)):
        ids = [one.encode(text, add_special_tokens=False).ids for one in (backend, by_file)]
        if ids[0] != ids[1]:
            return Difference(text, *ids)
    return None


def _from_file(folder: Path) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _pipeline(content: dict[str, Any]) -> dict[str, Any]:
    """Return all of a tokenizer's content that decides the ids of a text without special tokens."""
    model = dict(content.get("model") or {})
    # A pair is one text with a blank in older files.
    merges = [
        tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in model.get("merges", ())
    ]
    return {
        "normalizer": content.get("normalizer"),
        "pre_tokenizer": content.get("pre_tokenizer"),
        "added_tokens": content.get("added_tokens"),
        "model": model | {"merges": merges},
    }


def _texts_with_tokens(processor: Any, content: dict[str, Any]) -> list[str]:
    """Return texts with the tokens of media, and an end of text, as far as the file knows them."""
    known = {token["content"] for token in content.get("added_tokens") or ()}
    tokens = [*media_tokens(processor), getattr(tokenizer_of(processor), "eos_token", None)]
    return [form.format(token) for token in dict.fromkeys(tokens) if token in known for form in _AROUND]


def _follow_file(folder: Path, processor: Any) -> None:
    """Give a tokenizer the steps that its file names, and the flags of added tokens; special tokens stay."""
    by_file, tokenizer = _from_file(folder), tokenizer_of(processor)
    backend = tokenizer.backend_tokenizer
    for step in ("normalizer", "pre_tokenizer", "model", "decoder"):
        setattr(backend, step, getattr(by_file, step))
    backend.add_tokens([token for _, token in sorted(by_file.get_added_tokens_decoder().items())])


def reading_options(processor: Any) -> dict[str, Any]:
    """Return how a processor's prompts are made otherwise than by default, for the fingerprint.

    Nothing where all is as the folder says, so that the records of other backbones stay as they were.
    """
    options: dict[str, Any] = {"tokenizer": "file"} if follows_file(processor) else {}
    if getattr(tokenizer_of(processor), _LEAVES_OUT_EOS, False) is True:
        options["leaves_out_eos"] = True
    if template_options(processor):
        options["template_options"] = template_options(processor)
    return options


# Where a prompt begins and ends: with one BOS if the tokenizer puts one before any text, and with what the
# template writes for the answer to follow.


@dataclass(frozen=True)
class _Added:
    """The special tokens that a tokenizer puts around any text."""

    bos: bool
    eos: bool


def _added(tokenizer: Any) -> _Added:
    with_them, without = (
        list(tokenizer("a", add_special_tokens=added)["input_ids"]) for added in (True, False)
    )
    if with_them == without or not with_them:
        return _Added(False, False)
    bos, eos = getattr(tokenizer, "bos_token_id", None), getattr(tokenizer, "eos_token_id", None)
    return _Added(
        bos is not None and with_them[0] == bos and without[:1] != [bos],
        eos is not None and with_them[-1] == eos and without[-1:] != [eos],
    )


def end_at_generation_prompt(processor: Any) -> None:
    """Keep a tokenizer from putting EOS behind the place where a chat template lets the answer begin.

    Heads are read at the last token, which would be that EOS.

    Parameters
    ----------
    processor : transformers processor or tokenizer
        Opened a moment ago; its tokenizer may be changed.
    """
    tokenizer = tokenizer_of(processor)
    if chat_template(processor)[0] is None or not hasattr(type(tokenizer), "add_eos_token"):
        return
    added = _added(tokenizer)
    if added.eos:
        tokenizer.add_bos_token = added.bos
        tokenizer.add_eos_token = False
        setattr(tokenizer, _LEAVES_OUT_EOS, True)


def prompt_faults(processor: Any) -> list[str]:
    """Return what is wrong with the beginning and the end of a prompt, by its token ids; empty if nothing is.

    Parameters
    ----------
    processor : transformers processor or tokenizer
        Unchanged. One that reads no text alone is not looked at.
    """
    tokenizer = tokenizer_of(processor)
    try:
        prompt = PromptRenderer(processor).render(Example((Message("user", (Text("Is it red?"),)),)))
    except ItemError:
        return []
    ids = list(tokenizer(prompt.text, add_special_tokens=prompt.add_special_tokens)["input_ids"])
    bos, eos = getattr(tokenizer, "bos_token_id", None), getattr(tokenizer, "eos_token_id", None)
    added = _added(tokenizer)
    faults = []
    if bos is not None and ids[:2] == [bos, bos]:
        faults.append(f"prompts begin with two {tokenizer.bos_token}")
    if added.bos and ids[:1] != [bos]:
        faults.append(
            f"prompts do not begin with {tokenizer.bos_token}, which the tokenizer puts before any text"
        )
    if eos is not None and len(ids) > 1 and ids[-2:] == [eos, eos]:
        faults.append(f"prompts end with two {tokenizer.eos_token}")
    elif prompt.add_special_tokens and added.eos and chat_template(processor)[0] is not None:
        faults.append(f"the tokenizer puts {tokenizer.eos_token} behind the place where the answer begins")
    return faults
