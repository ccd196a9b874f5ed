"""`SAVModel` where scikit-learn, NumPy and pandas users expect an estimator: examples are its X."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.metrics import f1_score
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
    train_test_split,
)
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from tests.model.colors import COLOURS, PROMPT, shots, tiny

from savs.errors import BackboneError, DataError
from savs.model import SAVModel

FOLDS = StratifiedKFold(2)


@pytest.fixture(scope="module")
def model() -> SAVModel:
    return SAVModel(tiny(), prompt=PROMPT, n_heads=6)


@pytest.fixture(scope="module")
def data():
    return shots(4)


def by_hand(model, images, labels):
    """Accuracy of each fold, by a plain loop."""
    scores = []
    for train, test in FOLDS.split(np.zeros(len(labels)), labels):
        fitted = clone(model).fit([images[i] for i in train], [labels[i] for i in train])
        answers = fitted.predict([images[i] for i in test])
        scores.append(np.mean([answer == labels[i] for answer, i in zip(answers, test, strict=True)]))
    return scores


def test__cross_val_score__equals_a_plain_loop(model, data):
    images, labels = data
    assert cross_val_score(model, images, labels, cv=FOLDS).tolist() == by_hand(model, images, labels)


def test__cross_val_score__labels_of_the_examples(model, data):
    rows = [{"image": image, "label": label} for image, label in zip(*data, strict=True)]
    # Without y scikit-learn does not stratify: the classes must be in turn.
    assert cross_val_score(model, rows, cv=2, error_score="raise").shape == (2,)


@pytest.mark.slow
def test__cross_val_score__two_processes__same_scores(data):
    images, labels = data
    model = SAVModel("tiny", prompt=PROMPT, n_heads=6)
    scores = cross_val_score(model, images, labels, cv=FOLDS, n_jobs=2, error_score="raise")
    assert scores.tolist() == by_hand(SAVModel(tiny(), prompt=PROMPT, n_heads=6), images, labels)


@pytest.mark.parametrize("scoring", ["accuracy", "f1_macro", "neg_log_loss", "roc_auc_ovr"])
def test__cross_val_score__any_scoring(model, data, scoring):
    assert np.isfinite(cross_val_score(model, *data, cv=FOLDS, scoring=scoring, error_score="raise")).all()


def test__cross_val_predict__columns_are_the_sorted_classes(model, data):
    images, labels = data
    proba = cross_val_predict(model, images, labels, cv=FOLDS, method="predict_proba")
    answers = cross_val_predict(model, images, labels, cv=FOLDS)
    assert (np.array(sorted(COLOURS))[proba.argmax(axis=1)] == answers).all()


def test__grid_search__over_methods_heads_and_prompts(model, data):
    images, labels = data
    grid = {"method": ["sav", "mean_proba"], "n_heads": [2, 6], "prompt": [PROMPT]}
    search = GridSearchCV(model, grid, cv=FOLDS, error_score="raise").fit(images, labels)
    assert set(search.best_params_) == set(grid)
    assert search.predict(images[:3]).tolist() == search.best_estimator_.predict(images[:3]).tolist()
    assert search.classes_.tolist() == sorted(COLOURS)
    assert search.score(images, labels) == search.best_estimator_.score(images, labels)


def test__pipeline_and_split__take_lists(model, data):
    images, labels = data
    train, test, y_train, y_test = train_test_split(images, labels, stratify=labels, random_state=0)
    pipeline = Pipeline([("model", model)]).fit(train, y_train)
    assert pipeline.score(test, y_test) == model.score(test, y_test)


def test__clone__unfitted_with_the_same_parameters(model, data):
    fitted = clone(model).fit(*data)
    other = clone(fitted)
    assert is_classifier(other)
    assert other.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        check_is_fitted(other)
    check_is_fitted(fitted)


@pytest.mark.parametrize(
    "labels",
    [
        lambda labels: pd.Series(labels, index=range(100, 100 + len(labels))),
        lambda labels: pd.Series(labels, dtype="category"),
        lambda labels: pd.Series(labels, dtype="string"),
        np.array,
        tuple,
        lambda labels: (label for label in labels),
    ],
)
def test__labels__of_any_container__same_classifier(model, data, labels):
    images, plain = data
    expected = clone(model).fit(images, plain)
    found = clone(model).fit(images, labels(plain))
    assert found.classes_.tolist() == expected.classes_.tolist()
    assert {type(label) for label in found.classes_.tolist()} == {str}
    np.testing.assert_array_equal(found.predict_proba(images), expected.predict_proba(images))
    assert found.score(images, labels(plain)) == expected.score(images, plain)


@pytest.mark.parametrize(
    "container",
    [
        pytest.param(lambda items: pd.Series(items, index=range(7, 7 + len(items))), id="series"),
        pytest.param(tuple, id="tuple"),
        pytest.param(lambda items: (item for item in items), id="generator"),
        pytest.param(lambda items: np.array(items, dtype=object), id="object array"),
        pytest.param(
            lambda items: pd.DataFrame({"image": items}, index=range(3, 3 + len(items))), id="frame"
        ),
    ],
)
def test__examples__in_any_container__same_answers_in_order(model, data, tmp_path, container):
    images, labels = data
    fitted = clone(model).fit(images, labels)
    paths = []
    for number, image in enumerate(images):
        paths.append(str(tmp_path / f"{number}.png"))
        image.save(paths[-1])
    assert fitted.predict(container(paths)).tolist() == fitted.predict(images).tolist()


@pytest.mark.parametrize("kind", [int, bool])
def test__classes__keep_the_type_of_the_labels(model, data, kind):
    images, labels = data
    codes = [kind(label == "red") for label in labels]
    fitted = clone(model).fit(images, codes)
    assert fitted.classes_.dtype == np.asarray(codes).dtype
    assert fitted.predict(images[:2]).dtype == np.asarray(codes).dtype


def test__score__weighs_examples_as_scikit_learn_does(model, data):
    images, labels = data
    fitted = clone(model).fit(images[:6], labels[:6])
    wrong = ["red", *labels[1:-1], "red"]
    weights = np.arange(1.0, len(labels) + 1)
    right = [a == b for a, b in zip(fitted.predict(images), wrong, strict=True)]
    expected = np.average(right, weights=weights)
    assert fitted.score(images, wrong, sample_weight=weights) == pytest.approx(expected)
    assert fitted.score(images, wrong) == pytest.approx(np.mean(right))
    with pytest.raises(DataError, match="sample_weight"):
        fitted.score(images, wrong, sample_weight=weights[:3])


def test__predict__one_example__says_that_it_takes_a_list(model, data):
    images, labels = data
    fitted = clone(model).fit(images, labels)
    for one in (images[0], "a text", {"image": images[0]}, np.asarray(images[0])):
        with pytest.raises(DataError, match="a list of examples is needed"):
            fitted.predict(one)
    assert f1_score(labels, fitted.predict(images), average="macro") > 0.5


@pytest.mark.parametrize("store", [None, "store"])
def test__batch_size__of_one_call__is_what_passes_the_model(data, store, tmp_path):
    images, labels = data
    backbone = tiny().backbone
    model = SAVModel(
        backbone, prompt=PROMPT, n_heads=6, store=None if store is None else tmp_path / store
    ).fit(images[:6], labels[:6])
    sizes = []

    def note(_module, _arguments, options):
        if options.get("pixel_values") is not None:
            sizes.append(len(options["input_ids"]))

    def seen(call, count):
        sizes.clear()
        with_hook = backbone.model.register_forward_pre_hook(note, with_kwargs=True)
        try:
            answers = call(shots(2, start=30 + 10 * count)[0], batch_size=count)
        finally:
            with_hook.remove()
        return answers

    for call in (model.predict, model.predict_proba, model.decision_function, model.votes):
        seen(call, 3)
        if store is None or call == model.predict:
            assert max(sizes) == 3
    assert len(seen(model.predict, 1)) == 6
    assert sizes == [1] * 6
    assert model.backbone.batch_size == backbone.batch_size == "auto"
    with pytest.raises(BackboneError, match="batch size"):
        model.predict(images, batch_size=0)
    collected = model.predict(images, on_error="collect", batch_size=2)
    assert collected.labels == model.predict(images).tolist()


def test__tags__say_that_examples_are_no_matrix():
    tags = SAVModel("tiny").__sklearn_tags__()
    assert not tags.input_tags.two_d_array
    assert not tags.target_tags.required
    assert tags.estimator_type == "classifier"


@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: GridSearchCV(model, {"n_heads": [1]})])
def test__notebook__shows_a_model_without_loading_its_backbone(wrap):
    model = SAVModel("nowhere/at-all")
    assert "SAVModel" in wrap(model)._repr_html_()
    assert "nowhere/at-all" in repr(wrap(model))
