#!/usr/bin/env bash
# transformers 5.23.0: a tokenizer class drops the normalizer and pre-tokenizer of tokenizer.json without a word.
#
# For the classes of Llama, Qwen 2, GPT-2, CodeGen and Gemma, `AutoTokenizer.from_pretrained` takes vocabulary and merges
# from a folder's tokenizer.json and builds the steps before the merges from the class that tokenizer_config.json names.
# In version 4 the file was taken as it is. Where the file's steps are others, the same text gets other ids. Nothing is
# logged; the result only shows in what the model makes of it. The maintainers keep a list of model types for which the
# file is taken (huggingface/transformers#48641), so it depends on the model whether a folder is read rightly.
#
# Seen: one tokenizer.json that cuts numbers in threes, under two class names. "2024 1234567" is 202, 4, a blank, 123,
# 456, 7 by the file and by TokenizersBackend, and single digits by Qwen2Tokenizer. Full-width digits, which the file's
# normalizer folds, stay bytes.
# What to do: compare with `tokenizers.Tokenizer.from_file`, or load `TokenizersBackend.from_pretrained(folder)`.
# Exits 1 if the behavior has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder" transformers==5.23.0 tokenizers==0.23.3
cd "$folder"
PYTHONPATH="$folder" python3 - <<'PYTHON'
import json
import sys
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer

file = Tokenizer(models.BPE())
file.normalizer = normalizers.NFKC()
threes = pre_tokenizers.Split(Regex(r"\p{N}{1,3}"), "isolated")
file.pre_tokenizer = pre_tokenizers.Sequence([threes, pre_tokenizers.ByteLevel(add_prefix_space=False)])
alphabet = pre_tokenizers.ByteLevel.alphabet()
trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
file.train_from_iterator(["in 2024 it cost 1234567, 202 123 456"] * 20, trainer)


def loaded(class_name):
    place = Path(class_name)
    place.mkdir()
    file.save(str(place / "tokenizer.json"))
    (place / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": class_name}))
    (place / "config.json").write_text(json.dumps({"model_type": "llama"}))
    return AutoTokenizer.from_pretrained(str(place))


plain, rebuilt = loaded("TokenizersBackend"), loaded("Qwen2Tokenizer")
as_seen = True
for text in ("2024 1234567", "\uff12\uff10\uff12\uff14"):
    ids = file.encode(text, add_special_tokens=False).ids
    print(ascii(text))
    print("  tokenizer.json   ", file.encode(text, add_special_tokens=False).tokens)
    print("  TokenizersBackend", plain.tokenize(text))
    print("  Qwen2Tokenizer   ", rebuilt.tokenize(text))
    as_seen &= plain(text, add_special_tokens=False)["input_ids"] == ids
    as_seen &= rebuilt(text, add_special_tokens=False)["input_ids"] != ids
sys.exit(0 if as_seen else 1)
PYTHON
