"""The tokenizer: at most 640 byte-level BPE tokens learned from the questions themselves.

Every word and sign is split off and gets a leading space, so that a word has the same tokens wherever it
stands and whatever stood before it; digits are single; any unicode text falls back to bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from training.architecture import CONTEXT, END, IMAGE, PAD, SPECIAL, UNKNOWN
from training.questions.mixture import Mixture

SIZE = 640


def train_tokenizer(texts: Iterable[str], size: int = SIZE) -> Tokenizer:
    """Learn a vocabulary from question and answer texts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\s+"), behavior="removed"),
            pre_tokenizers.Punctuation(behavior="isolated"),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def wrap_tokenizer(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """Return the tokenizer as transformers saves and loads it, padding on the left."""
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNKNOWN,
        eos_token=END,
        extra_special_tokens={"image_token": IMAGE},
        padding_side="left",
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def question_texts(mixture: Mixture, samples: int) -> Iterator[str]:
    """Texts of questions, answers and frames, in the shares that training sees."""
    for _ in range(samples):
        sample = mixture.sample()
        yield from sample.frames
        for _ in range(6):
            question = sample.ask()
            yield question.text
            yield question.answer


def load_tokenizer(file: Path, mixture: Mixture, samples: int, seed: int) -> Tokenizer:
    """Return the tokenizer learned earlier and kept in `file`, or learned now from so many samples."""
    if file.exists():
        return Tokenizer.from_file(str(file))
    mixture.rng.seed(f"{seed} vocabulary")
    tokenizer = train_tokenizer(question_texts(mixture, samples))
    tokenizer.save(str(file))
    return tokenizer
