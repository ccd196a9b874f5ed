"""What prompts look like to the model: their token ids, and how they begin and end."""

from __future__ import annotations

from pathlib import Path

from savs.backbones import JSONValue
from savs.backbones._rendering import PromptRenderer, tokenizer_of
from savs.backbones._template_options import template_options
from savs.backbones._tokenizers import compare_with_file, prompt_faults
from savs.doctor._subject import Subject
from savs.doctor.report import Check

__all__ = ["check_prompts", "check_token_ids", "prompt_facts"]

_CHARACTERS, _IDS = 60, 8


def check_token_ids(subject: Subject) -> Check:
    """Return whether text becomes the token ids that the model's tokenizer.json gives.

    Parameters
    ----------
    subject : Subject
        What is examined.
    """
    name = "token ids"
    folder = Path(str(getattr(tokenizer_of(subject.processor), "name_or_path", "")))
    if not (folder / "tokenizer.json").is_file():
        return Check(name, "skipped", note="there is no tokenizer.json to compare with")
    difference = compare_with_file(folder, subject.processor)
    if difference is None:
        return Check(name, "ok")
    kind = type(tokenizer_of(subject.processor)).__name__
    return Check(name, "unsafe", note=f"{kind} does not do what tokenizer.json says: {difference}")


def check_prompts(subject: Subject) -> Check:
    """Return whether prompts begin with one BOS, if any, and end where the answer begins.

    Parameters
    ----------
    subject : Subject
        What is examined.
    """
    faults = prompt_faults(subject.processor)
    return Check("ends of prompts", "unsafe" if faults else "ok", note="; ".join(faults))


def prompt_facts(subject: Subject) -> dict[str, JSONValue]:
    """Return the end of a prompt, as text and as token ids, and the options of its chat template.

    Parameters
    ----------
    subject : Subject
        What is examined.
    """
    prompt = PromptRenderer(subject.processor).render(subject.probes[0].example)
    tokenizer = tokenizer_of(subject.processor)
    ids = tokenizer(prompt.text, add_special_tokens=prompt.add_special_tokens)["input_ids"]
    return {
        "prompt_end": prompt.text[-_CHARACTERS:],
        "prompt_end_ids": [int(number) for number in ids[-_IDS:]],
        "template_options": template_options(subject.processor),
    }
