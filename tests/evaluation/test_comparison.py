from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from PIL import Image as PILImage

from savs.backbones import FakeBackbone, PromptTemplate, load_backbone
from savs.baselines import last_layer
from savs.classifiers import SAVClassifier, make_method
from savs.data import DataWarning, as_examples
from savs.errors import DataError, ItemError
from savs.evaluation import draw_rows, paired_bootstrap
from savs.evaluation.comparison import compare_methods
from savs.evaluation.contenders import BASELINES, ReadExamples, known_contenders
from savs.evaluation.results import Trial, bootstrap_over_items
from savs.layout import HeadLayout

SIMPLE = ("majority", "last_layer", "zero_shot")
EVERY_METHOD = [name for name in known_contenders() if name in SIMPLE or name not in BASELINES]
COLOURS = {"blue": (60, 70, 180), "red": (180, 70, 60)}


def images(per_class, first_seed=0):
    arrays, labels = [], []
    for name, colour in COLOURS.items():
        for index in range(per_class):
            noise = np.random.default_rng(first_seed + len(arrays)).normal(0, 60, (32, 32, 3))
            pixels = (np.asarray(colour) + noise).clip(0, 255).astype(np.uint8)
            arrays.append(PILImage.fromarray(pixels))
            labels.append(
                name if (index + first_seed) % 5 else "red"
            )  # some labels are wrong: not all is easy
    template = PromptTemplate("Which colour?")
    return [template.apply(example) for example in as_examples(arrays, labels)]


def words(n, prefix="w"):
    return as_examples([f"{prefix}{i}" for i in range(n)], ["yes" if i % 2 else "no" for i in range(n)])


@pytest.fixture(scope="module")
def tiny():
    return load_backbone("tiny")


@pytest.fixture(scope="module")
def found(tiny):
    return compare_methods(tiny, images(10), methods=EVERY_METHOD, shots=[2, 3], draws=2, zero_shot_items=6)


def test__tiny__every_method_has_figures(found):
    record = json.loads(json.dumps(found.record(), allow_nan=False))
    assert set(record["methods"]) == set(EVERY_METHOD)
    assert record["shots"] == [2, 3]
    for name, figures in record["methods"].items():
        assert not figures["failures"]["2"], name
        for count in ("2", "3"):
            assert len(figures["accuracy"][count]) == 2
            assert all(0 <= value <= 1 for value in figures["accuracy"][count])
            assert figures["bytes"][count] > 0 or name == "zero_shot"
    assert record["zero_shot"]["items"] == 6
    assert record["methods"]["sav"]["against_sav"] == {"2": None, "3": None}
    assert record["methods"]["kernel_ridge"]["bytes"]["3"] > record["methods"]["majority"]["bytes"]["3"]


def test__tiny__accuracies_are_those_of_single_fits(tiny, found):
    examples = images(10)
    labels = np.array([example.label for example in examples])
    read = tiny.extract(examples, states=True)
    for draw in range(2):
        drawn, test = draw_rows(labels, 3, (0, draw))
        for name in ("sav", "hec_v"):
            fitted = make_method(name, tiny.layout).fit(read.features[drawn], labels[drawn])
            expected = sum(fitted.predict(read.features[[i]])[0] == labels[i] for i in test) / len(test)
            assert found.accuracies(name, 3)[draw] == pytest.approx(expected)
        nearest = last_layer(read.states[drawn], labels[drawn], read.states[test]).labels
        expected = np.mean(np.array(nearest) == labels[test])
        assert found.accuracies("last_layer", 3)[draw] == pytest.approx(expected)


def test__tiny__log_loss_ece_and_brier_are_those_of_single_fits_by_a_loop(tiny, found, by_loop):
    examples = images(10)
    labels = np.array([example.label for example in examples])
    read = tiny.extract(examples, states=True)
    for name in ("sav", "hec_v"):
        expected = {"log_loss": [], "ece": [], "brier": []}
        for draw in range(2):
            drawn, test = draw_rows(labels, 3, (0, draw))
            fitted = make_method(name, tiny.layout).fit(read.features[drawn], labels[drawn])
            shares = fitted.predict_proba(read.features[test]).tolist()
            answers = fitted.predict(read.features[test]).tolist()
            figures = by_loop(shares, labels[test].tolist(), answers, fitted.classes_.tolist())
            for metric, value in figures.items():
                expected[metric].append(value)
        for metric, values in expected.items():
            one = found.over_draws(name, 3, metric)
            assert one.draws == pytest.approx(values)
            assert one.mean == pytest.approx(sum(values) / 2)
            half = 12.7062 * np.std(values, ddof=1) / np.sqrt(2)  # Student's t, one degree of freedom
            assert one.interval[0] == pytest.approx(max(0, one.mean - half), abs=1e-4)
            assert found.figures(name, 3)[metric]["draws"] == one.draws


def test__tiny__no_probabilities__nothing_is_made_up(found):
    record = found.record()["methods"]
    for name in ("zero_shot", "last_layer"):
        for metric in ("log_loss", "ece", "brier"):
            assert record[name][metric] == {"2": None, "3": None}
    assert record["majority"]["log_loss"]["3"]["mean"] == pytest.approx(np.log(2))
    assert record["majority"]["brier"]["3"]["draws"] == [0.5, 0.5]
    shown = [name for name, figures in record.items() if figures["log_loss"]["2"] is not None]
    assert set(shown) == set(EVERY_METHOD) - {"zero_shot", "last_layer"}


def test__majority__probabilities_are_the_frequencies_of_the_shots():
    labels = np.array(["a", "a", "a", "b", "a", "b"], dtype=object)
    features = np.zeros((6, 4), np.float32)
    read = ReadExamples([], labels, features, None, HeadLayout.uniform(1, 1, 4))
    turn = read.contender("majority")(np.arange(4), np.array([4, 5]))
    assert turn.labels == ["a", "a"]
    assert turn.probabilities.classes == ["a", "b"]
    assert turn.probabilities.values.tolist() == [[0.75, 0.25]] * 2


def test__method_whose_probabilities_are_no_distribution__fails_with_the_reason(monkeypatch):
    share = SAVClassifier.predict_proba
    monkeypatch.setattr(SAVClassifier, "predict_proba", lambda self, rows: 2 * share(self, rows))
    found = compare_methods(FakeBackbone(), words(8), methods=["hec_v", "sav"], shots=[2], draws=1)
    assert "item 0 do not lie in 0 to 1 with sum 1" in found.figures("sav", 2)["failures"]["0"]
    assert found.mean("hec_v", 2) is not None


def test__one_pass__for_all_methods_shots_and_draws(monkeypatch):
    backbone, calls = FakeBackbone(), []
    extract = backbone.extract

    def note(examples, **options):
        calls.append((len(examples), options["states"]))
        return extract(examples, **options)

    monkeypatch.setattr(backbone, "extract", note)
    compare_methods(backbone, words(12), methods=["sav", "last_layer", "auto"], shots=[2, 3], draws=3)
    assert calls == [(12, True)]


def test__one_number_of_shots__plain_figures():
    record = compare_methods(
        FakeBackbone(), words(12), methods=["sav", "majority"], shots=[2], draws=3
    ).record()
    assert record["shots"] == 2
    assert len(record["methods"]["sav"]["accuracy"]) == 3
    assert isinstance(record["methods"]["sav"]["seconds"], float)
    assert isinstance(record["methods"]["sav"]["bytes"], int)
    assert record["methods"]["sav"]["against_baseline"]["name"] == "majority"


def test__fault__copies_of_shots__are_never_judged():
    examples = [*words(8), *words(8)]
    found = compare_methods(FakeBackbone(), examples, methods=["sav"], shots=[2], draws=4)
    for draw, trial in enumerate(found.trials["sav", 2]):
        labels = [example.label for example in examples]
        shots = {examples[row].text for row in draw_rows(labels, 2, (0, draw))[0]}
        judged = {examples[row].text for row in trial.rows}
        assert not shots & judged
        assert judged | shots == {example.text for example in examples}


def test__only_copies_left__says_so():
    examples = as_examples(["a", "a", "b", "b"], ["x", "x", "y", "y"])
    with pytest.raises(DataError, match="not a copy of a shot"):
        compare_methods(FakeBackbone(), examples, methods=["sav"], shots=[1])


def test__fixed_test__judges_it_alone_and_uses_all_shots():
    found = compare_methods(
        FakeBackbone(), words(6), methods=["sav"], shots=[3], draws=2, test=words(4, prefix="t")
    )
    assert [trial.rows.tolist() for trial in found.trials["sav", 3]] == [[6, 7, 8, 9]] * 2


def test__fixed_test_with_leaks__warns_and_leaves_them_out():
    examples = words(6)
    with pytest.warns(DataWarning, match="2 of 6 test examples are in the data of the shots too"):
        found = compare_methods(
            FakeBackbone(),
            examples,
            methods=["sav"],
            shots=[3],
            draws=1,
            test=[*examples[:2], *words(4, prefix="t")],
        )
    assert found.n_test == {3: [4]}


def test__test_label_of_another_type__counts_as_wrong():
    examples = as_examples(["a", "b", "c", "d"], [0, 1, 0, 1])
    with pytest.warns(
        DataWarning, match="no shot has, .* count as wrong; the shots' labels are of type int, "
    ):
        found = compare_methods(
            FakeBackbone(),
            examples,
            methods=["majority"],
            shots=[2],
            draws=1,
            test=as_examples(["e", "f"], ["0", "1"]),
        )
    assert found.accuracies("majority", 2) == [0.0]


@pytest.mark.parametrize(
    ("error", "told"),
    [(DataError("cannot\nanswer"), "cannot answer"), (MemoryError(), "it needs more memory than there is")],
)
def test__method_that_cannot_use_a_draw__is_reported_and_the_others_go_on(error, told, monkeypatch):
    calls = []

    def refuse(*_args, **_options):
        calls.append(1)
        raise error

    backbone = FakeBackbone()
    monkeypatch.setattr(backbone, "generate", refuse)
    found = compare_methods(backbone, words(8), methods=["zero_shot", "sav"], shots=[2], draws=2)
    record = found.record()
    assert record["methods"]["zero_shot"]["accuracy"] == [None, None]
    assert record["methods"]["zero_shot"]["failures"] == {"0": told, "1": told}
    assert record["zero_shot"] is None
    assert record["best_baseline"] is None
    assert None not in record["methods"]["sav"]["accuracy"]
    assert len(calls) == 1  # not again in every draw


def test__zero_shot__is_asked_once_per_item_and_classes_take_turns():
    backbone, asked = FakeBackbone(), []
    answer = backbone.generate

    def note(examples, **options):
        asked.extend(example.label for example in examples)
        return answer(examples, **options)

    backbone.generate = note
    found = compare_methods(
        backbone, words(20), methods=["zero_shot"], shots=[1, 2], draws=3, zero_shot_items=6
    )
    assert sorted(asked) == ["no"] * 3 + ["yes"] * 3
    assert found.record()["zero_shot"]["items"] == 6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"methods": ["best"]}, "no method is named 'best'; available are sav, "),
        ({"methods": []}, "needs a method"),
        ({"draws": 0}, "at least one draw"),
        ({"shots": [-1]}, "a number of shots from 0 on"),
        ({"shots": [0], "methods": ["sav", "majority"]}, "those that need none are .*hec_t, zero_shot"),
        ({"shots": [4]}, "4 shots leave no test example of some class"),
        ({"shots": [5], "test": words(2, "t")}, "5 shots are more than some class has"),
    ],
)
def test__bad_request__is_refused_before_the_model_runs(settings, message):
    backbone = FakeBackbone()
    with pytest.raises(ValueError, match=message):
        compare_methods(backbone, words(8), **settings)
    assert backbone.n_forward == 0


def test__one_class__is_refused():
    with pytest.raises(DataError, match="two classes; 'a' has 2"):
        compare_methods(FakeBackbone(), as_examples(["x", "y"], ["a", "a"]))


def test__unreadable_examples__are_left_out_up_to_max_errors(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    examples = [*words(8), *as_examples([tmp_path / "broken.png"], ["yes"])]
    found = compare_methods(FakeBackbone(), examples, methods=["sav"], shots=[2], draws=1, max_errors=1)
    assert [error.code for error in found.errors] == ["image_undecodable"]
    assert found.n_test == {2: [4]}
    with pytest.raises(ValueError, match="not a complete image"):
        compare_methods(FakeBackbone(), examples, methods=["sav"], shots=[2], draws=1)


def test__class_lost_to_errors__is_refused(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    broken = [*as_examples([tmp_path / "broken.png"] * 3, ["maybe"] * 3)]
    with pytest.raises(DataError, match="no example of class 'maybe' can be read"):
        compare_methods(FakeBackbone(), [*words(8), *broken], methods=["sav"], shots=[1], max_errors=-1)


def trial(rows, correct):
    return Trial(np.array(rows), np.array(correct, dtype=bool), 0.0, 0)


def test__bootstrap_over_items__one_draw__is_the_paired_bootstrap():
    rng = np.random.default_rng(0)
    ours, theirs = rng.random(60) < 0.8, rng.random(60) < 0.6
    one = bootstrap_over_items([trial(range(60), ours)], [trial(range(60), theirs)])
    assert one == pytest.approx(paired_bootstrap(ours, theirs), abs=0.02)
    assert one.value == pytest.approx(ours.mean() - theirs.mean())


def test__bootstrap_over_items__repeated_draws__are_no_further_items():
    rng = np.random.default_rng(0)
    ours, theirs = rng.random(60) < 0.8, rng.random(60) < 0.6
    pair = [trial(range(60), ours)], [trial(range(60), theirs)]
    once = bootstrap_over_items(*pair)
    five = bootstrap_over_items(pair[0] * 5, pair[1] * 5)
    assert five == pytest.approx(once)


def test__bootstrap_over_items__only_common_items_count():
    found = bootstrap_over_items([trial([3, 1, 2], [1, 0, 1])], [trial([2, 3, 9], [0, 1, 1])])
    assert found.value == 0.5
    assert bootstrap_over_items([trial([1], [1])], [trial([2], [1])]) is None


def test__same_seed__same_figures():
    def run(seed):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return compare_methods(FakeBackbone(), words(20), methods=["sav"], shots=[3], seed=seed)

    assert run(1).accuracies("sav", 3) == run(1).accuracies("sav", 3)
    assert [t.rows.tolist() for t in run(1).trials["sav", 3]] != [
        t.rows.tolist() for t in run(2).trials["sav", 3]
    ]


def test__no_shots__names_and_answers_alone_have_figures(tiny):
    examples = images(8)
    methods = ["sav", "auto_names", "option_likelihood", "hec_t", "majority", "last_layer", "zero_shot"]
    found = compare_methods(tiny, examples, methods=methods, shots=[0, 2], draws=2)
    sums = tiny.option_log_likelihood(examples, ["blue", "red"]).sums
    truth = np.array([example.label for example in examples])
    expected = (np.array(["blue", "red"])[sums.argmax(axis=1)] == truth).mean()
    assert found.accuracies("option_likelihood", 0) == [expected]
    assert found.accuracies("auto_names", 0) == [expected]
    assert found.n_test[0] == [len(examples)]
    assert found.methods_at(0) == ["auto_names", "option_likelihood", "hec_t", "zero_shot"]
    assert found.methods_at(2) == methods
    record = found.record()["methods"]
    assert list(record["hec_t"]["log_loss"]) == ["0", "2"]
    for name in ("sav", "majority", "last_layer"):
        assert found.accuracies(name, 0) == []
        assert list(record[name]["accuracy"]) == list(record[name]["failures"]) == ["2"]
    for name in methods:
        assert len(found.accuracies(name, 2)) == 2
        assert None not in found.accuracies(name, 2)
    assert None not in found.accuracies("hec_t", 0) + found.accuracies("zero_shot", 0)
    json.dumps(found.record(), allow_nan=False)


def test__backbone_without_likelihoods__only_those_methods_fail():
    class Plain(FakeBackbone):
        option_log_likelihood = None

    found = compare_methods(Plain(), words(12), methods=["lda", "option_likelihood"], shots=[2], draws=2)
    assert None not in found.accuracies("lda", 2)
    assert found.accuracies("option_likelihood", 2) == [None, None]
    assert "no likelihoods of class names" in found.figures("option_likelihood", 2)["failures"]["1"]


def test__likelihoods__read_once_for_all_draws():
    calls = []

    class Counting(FakeBackbone):
        def option_log_likelihood(self, examples, options, **rest):
            calls.append(len(examples))
            return super().option_log_likelihood(examples, options, **rest)

    methods = ["option_likelihood", "auto_names"]
    compare_methods(Counting(), words(12), methods=methods, shots=[1, 2], draws=3)
    assert calls == [12]


def test__no_shots__labels_of_mixed_types__are_refused():
    examples = as_examples(["a", "b", "c", "d"], [1, 2, 1, 2])
    mixed = [*examples, *as_examples(["e", "f"], ["1", "2"])]
    with pytest.raises(DataError, match="type"):
        compare_methods(FakeBackbone(), mixed, methods=["zero_shot"], shots=[0])


def test__no_shots__class_of_one_example__is_judged():
    examples = as_examples(["a", "b", "c"], ["x", "x", "y"])
    found = compare_methods(FakeBackbone(), examples, methods=["zero_shot"], shots=[0], draws=3)
    assert found.n_test == {0: [3]}
    assert len(found.accuracies("zero_shot", 0)) == 1
    assert found.over_draws("zero_shot", 0).interval is None


# Several prompts.


def test__several_prompts__each_draw__is_the_ensemble_of_the_prompts_on_its_rows(tiny):
    from savs.classifiers import Method
    from savs.classifiers.prompt_ensemble import PromptMethod, PromptRows

    pictures = [example.images[0].source for example in images(6)]
    labels = [example.label for example in images(6)]
    examples, asked = as_examples(pictures, labels), ["Which colour?", "Red or blue?"]
    names = ["mean_proba", "auto", "last_layer", "majority"]
    found = compare_methods(tiny, examples, methods=names, shots=[3], draws=2, prompts=asked)
    one = compare_methods(
        tiny,
        [PromptTemplate(asked[0]).apply(example) for example in examples],
        methods=["last_layer"],
        shots=[3],
        draws=2,
        prompt=asked[0],
    )
    assert found.accuracies("last_layer", 3) == one.accuracies("last_layer", 3)
    features = [
        tiny.extract([PromptTemplate(prompt).apply(example) for example in examples]).features
        for prompt in asked
    ]
    rows = PromptRows.of(tiny.layout, 2)
    joined, truth = rows.joined(features), np.array(labels)
    for draw in range(2):
        shots, rest = draw_rows(labels, 3, (0, draw))
        made = PromptMethod(Method("mean_proba"), rows).make(rows.layout, np.unique(truth))
        right = made.fit(joined[shots], truth[shots]).predict(joined[rest]) == truth[rest]
        assert found.accuracies("mean_proba", 3)[draw] == right.mean()


def test__several_prompts__unreadable_example__told_once(tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    pictures = [example.images[0].source for example in images(4)]
    labels = [example.label for example in images(4)]
    examples = as_examples([*pictures, bad], [*labels, "red"])
    found = compare_methods(
        FakeBackbone(), examples, methods=["sav"], shots=[1], draws=1, prompts=["a", "b"], max_errors=1
    )
    assert [error.code for error in found.errors] == ["image_undecodable"]
    with pytest.raises(ItemError):
        compare_methods(FakeBackbone(), examples, methods=["sav"], shots=[1], draws=1, prompts=["a", "b"])


def test__prompt_and_prompts__refused():
    with pytest.raises(ValueError, match="not both"):
        compare_methods(FakeBackbone(), words(8), methods=["sav"], prompt="a", prompts=["b", "c"])


def test__several_prompts__method_of_class_names__is_refused():
    with pytest.raises(ValueError, match="after one prompt, not several"):
        compare_methods(FakeBackbone(), words(8), methods=["option_likelihood"], prompts=["b", "c"])
