from __future__ import annotations

import json

import numpy as np
import pytest

from savs.classifiers import State, TextPrototypeClassifier
from savs.classifiers._probabilities import softmax
from savs.classifiers.text_prototypes import default_heads
from savs.layout import HeadLayout

LAYOUT = HeadLayout.from_layers([(0, 3, 3), (1, 2, 5), (3, 2, 3)])


def make(seed=0, shots=6, text_noise=0.3):
    rng = np.random.default_rng(seed)
    text = rng.standard_normal((3, LAYOUT.width))
    codes = np.repeat(np.arange(3), shots)
    rows = text[codes] + 0.8 * rng.standard_normal((len(codes), LAYOUT.width))
    queries = text[np.arange(30) % 3] + 0.8 * rng.standard_normal((30, LAYOUT.width))
    return text + text_noise * rng.standard_normal(text.shape), rows, codes, queries


def probabilities(text, queries, heads):
    shares = []
    for head in heads:
        columns = LAYOUT.columns(head)
        t = text[:, columns] / np.linalg.norm(text[:, columns], axis=1, keepdims=True)
        x = queries[:, columns] / np.linalg.norm(queries[:, columns], axis=1, keepdims=True)
        shares.append(softmax(-0.5 * ((x[:, None] - t[None]) ** 2).sum(axis=2)))
    return np.mean(shares, axis=0)


def test__names_alone__hec_t_by_hand__same_probabilities():
    text, _, _, queries = make()
    fitted = TextPrototypeClassifier(text, n_heads=4, layout=LAYOUT).fit_class_names(["a", "b", "c"])
    assert fitted.heads_ == default_heads(LAYOUT, 4)
    assert fitted.predict_proba(queries) == pytest.approx(probabilities(text, queries, fitted.heads_))
    assert (fitted.predict(queries) == np.array(["a", "b", "c"])[np.arange(30) % 3]).mean() > 0.6


def test__default_heads__three_quarters_deep():
    assert default_heads(LAYOUT, 3) == [(3, 0), (3, 1), (1, 0)]


def test__shots_choose_heads__by_hand__best_by_true_class():
    text, rows, codes, _ = make()
    fitted = TextPrototypeClassifier(text, n_heads=3, estimator=None, layout=LAYOUT).fit(rows, codes)
    scores = {
        head: probabilities(text, rows, [head])[np.arange(len(codes)), codes].mean() for head in LAYOUT.heads
    }
    assert fitted.heads_ == sorted(LAYOUT.heads, key=lambda head: -scores[head])[:3]
    assert fitted.shot_share_ == 0


def test__fusion__useless_text__shots_take_over():
    text, rows, codes, queries = make(shots=12)
    noise = np.random.default_rng(3).standard_normal(text.shape)
    fitted = TextPrototypeClassifier(noise, layout=LAYOUT).fit(rows, codes)
    assert fitted.shot_share_ > 0.8
    assert (fitted.predict(queries) == np.arange(30) % 3).mean() > 0.8


def test__fusion__useless_shots__share_may_be_zero():
    text, rows, codes, queries = make(text_noise=0.0)
    shuffled = np.random.default_rng(5).standard_normal(rows.shape) * 0.01 + text[codes]
    fitted = TextPrototypeClassifier(text, layout=LAYOUT, estimator="votes").fit(shuffled, codes)
    assert 0 <= fitted.shot_share_ <= 1
    noise_labels = TextPrototypeClassifier(text, layout=LAYOUT).fit(rows, np.roll(codes, 1))
    assert np.isfinite(noise_labels.predict_proba(queries)).all()


def test__one_shot_per_class__text_alone():
    text, rows, codes, queries = make(shots=1)
    fitted = TextPrototypeClassifier(text, layout=LAYOUT).fit(rows, codes)
    assert fitted.shot_share_ == 0
    assert np.isfinite(fitted.predict_proba(queries)).all()


@pytest.mark.parametrize("names", [True, False])
def test__state__through_json__same_bits(names):
    text, rows, codes, queries = make()
    fitted = TextPrototypeClassifier(text, n_heads=4, layout=LAYOUT)
    fitted = fitted.fit_class_names([0, 1, 2]) if names else fitted.fit(rows, codes)
    arrays, settings = fitted.to_state()
    again = TextPrototypeClassifier.from_state(State(arrays, json.loads(json.dumps(settings))))
    assert np.array_equal(again.predict_proba(queries), fitted.predict_proba(queries))


def test__unusable_prototypes_or_classes__error():
    text, rows, codes, _ = make()
    with pytest.raises(ValueError, match="one row per class"):
        TextPrototypeClassifier(text[:2], layout=LAYOUT).fit(rows, codes)
    with pytest.raises(ValueError, match="sorted"):
        TextPrototypeClassifier(text, layout=LAYOUT).fit_class_names(["c", "b", "a"])
