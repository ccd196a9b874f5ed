from __future__ import annotations

import numpy as np
import pytest

from savs.backbones import PromptTemplate, load_backbone
from savs.baselines import in_context
from savs.baselines.in_context import demonstrations, with_demonstrations
from savs.data import Example, Message, Text, as_examples
from savs.errors import DataError
from savs.media import Image


class Listener:
    """Answers every prompt with the answer of its first demonstration."""

    def __init__(self):
        self.asked, self.limit = [], None

    def generate(self, examples, *, max_new_tokens=16):
        self.asked, self.limit = [*self.asked, *examples], max_new_tokens
        return [
            next(message for message in example.messages if message.role == "assistant").parts[0].text
            for example in examples
        ]


def shots(labels):
    return [
        Example((Message("user", (Image(b"not opened"), Text(f"what is {place}?"))),), label, str(place))
        for place, label in enumerate(labels)
    ]


QUERY = Example((Message("system", (Text("Be brief."),)), Message("user", (Image(b"q"), Text("and this?")))))


def test__in_context__query__behind_its_demonstrations_in_one_chat():
    backbone = Listener()
    pool = shots(["cat", "dog", "cat", "dog"])
    found = in_context(backbone, pool, [QUERY], ["cat", "dog"], n_shots=2, seed=3)
    chosen = demonstrations(pool, ["cat", "dog"], n_shots=2, seed=3)
    asked = backbone.asked[0]
    assert [message.role for message in asked.messages] == [
        "system",
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
    ]
    assert asked.messages[0] == QUERY.messages[0]
    for place, shot in enumerate(chosen):
        question, answer = asked.messages[1 + 2 * place : 3 + 2 * place]
        assert question.parts[0] == shot.images[0]
        assert question.parts[1] == Text(f"what is {shot.id}?\nAnswer with one of: cat, dog.")
        assert answer.parts == (Text(shot.label),)
    assert asked.messages[-1].parts[-1] == Text("and this?\nAnswer with one of: cat, dog.")
    assert len(asked.images) == 3
    assert (found.name, found.answers, found.unparsed) == ("in_context", [found.labels[0]], [])


def test__in_context__names_not_wanted__questions_as_they_are():
    backbone = Listener()
    in_context(backbone, shots([True, False]), [QUERY], [False, True], name_classes=False)
    texts = [part.text for part in backbone.asked[0].parts if isinstance(part, Text)]
    assert "Answer with Yes or No." not in " ".join(texts)
    assert {"Yes", "No"} < set(texts)


def test__in_context__true_and_false_as_texts__answers_in_the_words_of_the_question():
    backbone = Listener()
    found = in_context(backbone, shots(["true", "false"]), [QUERY], ["false", "true"])
    texts = [part.text for message in backbone.asked[0].messages for part in message.parts[-1:]]
    assert texts[2:5:2] in (["Yes", "No"], ["No", "Yes"])
    assert found.labels[0] in ("true", "false")


@pytest.mark.parametrize("n_shots", [1, 2, 3, 4, 5, 6, 20])
def test__demonstrations__classes_in_turn__as_even_as_can_be(n_shots):
    pool = shots(["a"] * 5 + ["b"] * 2 + ["c"] * 5)
    chosen = demonstrations(pool, ["a", "b", "c"], n_shots=n_shots, seed=1)
    assert len({shot.id for shot in chosen}) == len(chosen) == min(n_shots, 12)
    counts = [sum(shot.label == name for shot in chosen) for name in "abc"]
    assert max(counts) - min(counts) <= 1 or counts[1] == 2
    assert [shot.id for shot in chosen] == [
        shot.id for shot in demonstrations(pool, ["a", "b", "c"], n_shots=20, seed=1)[:n_shots]
    ]


def test__demonstrations__other_seeds__other_shots():
    pool = shots(["a", "b"] * 10)
    picks = {
        tuple(one.id for one in demonstrations(pool, ["a", "b"], n_shots=4, seed=seed)) for seed in range(20)
    }
    assert len(picks) > 15
    firsts = {demonstrations(pool, ["a", "b"], n_shots=1, seed=seed)[0].label for seed in range(20)}
    assert firsts == {"a", "b"}


def test__in_context__nothing_to_show__error():
    with pytest.raises(DataError, match="at least one shot"):
        in_context(Listener(), [], [QUERY], ["cat"])
    with pytest.raises(DataError, match=r"^1: the label of a shot is 'cow'"):
        in_context(Listener(), shots(["cat", "cow"]), [QUERY], ["cat"])
    with pytest.raises(DataError, match=r"^0: the label of a shot is None"):
        in_context(Listener(), shots([None]), [QUERY], ["cat"])
    with pytest.raises(ValueError, match="n_shots must be at least 1"):
        in_context(Listener(), shots(["cat"]), [QUERY], ["cat"], n_shots=0)


def test__with_demonstrations__prompt_of_a_real_model__every_turn_and_image_is_there():
    tiny_backbone = load_backbone("tiny")
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (24, 24, 3), dtype=np.uint8) for _ in range(5)]
    prompted = map(
        PromptTemplate("What is in this picture?").apply, as_examples(images, ["cat", "dog"] * 2 + ["cat"])
    )
    *pool, query = prompted
    asked = with_demonstrations(query, pool, ["cat", "dog"])
    assert len(asked.images) == 5
    alone, behind = tiny_backbone.extract([query, asked]).features
    assert not np.allclose(alone, behind)
    found = in_context(tiny_backbone, pool, [query, query], ["cat", "dog"])
    assert len(found.answers) == 2
    assert found.answers[0] == found.answers[1]
