"""What savs is held against on texts, beside plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.real_baselines import (
    SentenceEncoder,
    judged,
    logistic_regression,
    nearest_mean,
    nearest_name,
)
from tests.benchmarks.small_texts import write_encoder

from savs.evaluation.protocol import draw_rows

LABELS = np.array(["cold", "warm", "mild"] * 40)


@pytest.fixture
def rows() -> np.ndarray:
    generator = np.random.default_rng(0)
    means = {label: generator.standard_normal(300) for label in np.unique(LABELS)}
    return np.stack([2 + 0.3 * means[one] + generator.standard_normal(300) for one in LABELS]).astype(
        np.float32
    )


def test__judged__draws__those_of_the_comparison() -> None:
    found = judged(lambda _, rest: np.full(len(rest), "warm"), LABELS, 3, draws=2, seed=5)
    for draw, right in enumerate(found):
        drawn, rest = draw_rows(LABELS.tolist(), 3, (5, draw), leave=1)
        assert [right[row] for row in drawn] == [None] * 9
        assert [right[row] for row in rest] == [LABELS[row] == "warm" for row in rest]


def test__nearest_mean__random_rows__as_in_a_loop(rows) -> None:
    drawn, rest = draw_rows(LABELS.tolist(), 4, (0, 0), leave=1)
    found = nearest_mean(rows, LABELS)(drawn, rest)
    for place, row in enumerate(rest):
        cosines = {}
        for label in np.unique(LABELS):
            mean = sum(rows[one] / np.linalg.norm(rows[one]) for one in drawn if LABELS[one] == label)
            cosines[label] = float(mean @ rows[row]) / float(np.linalg.norm(mean))
        assert found[place] == max(cosines, key=cosines.get)


def test__nearest_name__length_of_a_name__does_not_count() -> None:
    names = np.array([[10.0, 0.0], [0.0, 0.1]])
    assert nearest_name(np.array([[1.0, 2.0], [2.0, 1.0]]), names).tolist() == [1, 0]


@pytest.mark.parametrize("shots", [1, 2, 5])
def test__logistic_regression__few_shots__better_than_chance(rows, shots) -> None:
    drawn, rest = draw_rows(LABELS.tolist(), shots, (0, 0), leave=1)
    assert (logistic_regression(rows, LABELS)(drawn, rest) == LABELS[rest]).mean() > 0.5


def test__sentence_encoder__mean_over_the_tokens__as_a_padded_batch_with_its_mask(tmp_path) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = write_encoder(tmp_path)
    texts = ["the rose is like others", "sea", "the sky is cold"]
    found = SentenceEncoder(folder).embed(texts)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        states = model(**inputs).last_hidden_state
    mask = inputs["attention_mask"].unsqueeze(-1)
    means = (states * mask).sum(1) / mask.sum(1)
    np.testing.assert_allclose(found, torch.nn.functional.normalize(means).numpy(), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
