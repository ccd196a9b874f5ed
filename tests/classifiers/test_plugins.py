"""Rules and methods of users: registered by a call, or by the entry points of an installed package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from savs.artifact import load_artifact
from savs.backbones import FakeBackbone
from savs.classifiers import (
    HeadRule,
    HeadVoteClassifier,
    Shots,
    available_methods,
    available_rules,
    make_method,
    make_rule,
    register_method,
    register_rule,
)
from savs.classifiers.methods import _METHODS
from savs.classifiers.rules import _RULES
from savs.errors import ArtifactError
from savs.evaluation.comparison import compare_methods
from savs.layout import HeadLayout
from savs.model import SAVModel

pytestmark = pytest.mark.slow

TEXTS = [f"{word} {number}" for number in range(4) for word in ("apple", "brick", "cloud")]
LABELS = ["fruit", "stone", "sky"] * 4

PACKAGE = """
from savs.classifiers import HeadRule, HeadVoteClassifier


class NearestMean(HeadRule):
    def fit(self, vectors, shots):
        return {"means": shots.class_sums(vectors) / shots.counts[:, None]}

    def scores(self, vectors, parameters, codes):
        gaps = vectors[:, :, None] - parameters["means"][:, None]
        return -(gaps**2).sum(axis=3)


class MeanClassifier(HeadVoteClassifier):
    def __init__(self, rule="plugin_mean", *, n_heads=3, scoring="leave_one_out", voting="soft",
                 criterion="probability", temperature="auto", layout=None, heads=None, priors="uniform"):
        super().__init__(rule, n_heads=n_heads, scoring=scoring, voting=voting, criterion=criterion,
                         temperature=temperature, layout=layout, heads=heads, priors=priors)


RULE = NearestMean()
"""

FIT = """
import sys
from savs.backbones import FakeBackbone
from savs.model import SAVModel
texts = [f"{word} {n}" for n in range(4) for word in ("apple", "brick", "cloud")]
model = SAVModel(FakeBackbone(), method=sys.argv[1]).fit(texts, ["fruit", "stone", "sky"] * 4)
model.save_pretrained(sys.argv[2])
print(*model.predict(texts))
"""

PREDICT = """
import sys
from savs.backbones import FakeBackbone
from savs.model import SAVModel
model = SAVModel.from_pretrained(sys.argv[1], backbone=FakeBackbone())
texts = [f"{word} {n}" for n in range(4) for word in ("apple", "brick", "cloud")]
print(*model.predict(texts))
"""


class NegativeDistance(HeadRule):
    """The negative squared distance to the class mean."""

    def fit(self, vectors, shots):
        return {"means": shots.class_sums(vectors) / shots.counts[:, None]}

    def scores(self, vectors, parameters, codes):  # noqa: ARG002
        gaps = vectors[:, :, None] - parameters["means"][:, None]
        return -(gaps**2).sum(axis=3)


class Renamed(HeadVoteClassifier):
    """A method of a user."""


@pytest.fixture(scope="module", autouse=True)
def registered():
    """Register a rule and a method while the tests of this module run."""
    register_rule("test_distance", NegativeDistance())
    register_method("test_votes", lambda: Renamed("test_distance", n_heads=4))
    yield
    del _METHODS._entries["test_votes"]
    del _RULES._entries["test_distance"]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return a folder of packages in which one adds a rule and a method."""
    site = tmp_path / "site"
    info = site / "savs_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "savs_plugin.py").write_text(PACKAGE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: savs-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[savs.rules]\nplugin_mean = savs_plugin:RULE\n"
        "[savs.methods]\nplugin_method = savs_plugin:MeanClassifier\n"
    )
    return site


def run(code: str, *arguments: object, site: Path | None) -> subprocess.CompletedProcess[str]:
    start = "" if site is None else f"import sys; sys.path.insert(0, {str(site)!r})\n"
    command = [sys.executable, "-c", start + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test__registered_rule__default_held_out_scores__refits_without_each_shot():
    rng = np.random.default_rng(0)
    codes = np.array([0, 0, 0, 1, 1, 2])
    shots = Shots(rng.standard_normal((6, 8)), codes, 3, HeadLayout.uniform(1, 2, 4))
    (block,) = shots.blocks()
    found = make_rule("test_distance").held_out_scores(block.vectors, shots)
    assert found.shape == (2, 6, 3)
    assert np.isfinite(found).all()
    for shot in range(5):
        others = np.arange(6) != shot
        means = [block.vectors[:, others & (codes == code)].mean(axis=1) for code in range(3)]
        expected = [-((block.vectors[:, shot] - mean) ** 2).sum(axis=1) for mean in means]
        np.testing.assert_allclose(found[:, shot], np.stack(expected, axis=1))


def test__registered_names__listed_and_made():
    assert "test_votes" in available_methods()
    assert "test_distance" in available_rules()
    assert make_method("test_votes", n_heads=2).n_heads == 2
    with pytest.raises(ValueError, match="a method named 'sav' exists"):
        register_method("sav", Renamed)


ESTIMATORS = [HeadVoteClassifier("test_distance", n_heads=2), Renamed(n_heads=3)]


@pytest.mark.parametrize("method", ["test_votes", *ESTIMATORS])
def test__registered_method_or_estimator__fit_save_load_predict__same_answers(method, tmp_path):
    model = SAVModel(FakeBackbone(), method=method).fit(TEXTS, LABELS)
    model.save_pretrained(tmp_path / "saved")
    again = SAVModel.from_pretrained(tmp_path / "saved", backbone=FakeBackbone())
    assert type(again._fitted) is type(model._fitted)
    np.testing.assert_array_equal(again.predict_proba(TEXTS), model.predict_proba(TEXTS))
    assert load_artifact(tmp_path / "saved").method == model.method_


def test__estimator_of_no_method__cannot_be_saved(tmp_path):
    class Unknown(HeadVoteClassifier):
        pass

    model = SAVModel(FakeBackbone(), method=Unknown(n_heads=3)).fit(TEXTS, LABELS)
    assert model.predict(TEXTS[:1]).tolist() == ["fruit"]
    with pytest.raises(ArtifactError, match="register_method"):
        model.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test__registered_method__compared_with_the_others():
    from savs.data import as_examples

    found = compare_methods(
        FakeBackbone(), as_examples(TEXTS, LABELS), methods=["sav", "test_votes"], shots=[2]
    )
    assert found.record()["methods"].keys() == {"sav", "test_votes"}
    assert not found.figures("test_votes", 2)["failures"]


def test__command_line__registered_method__is_known():
    import click

    from savs.cli._options import check_method

    check_method("test_votes", 3, None, None)
    with pytest.raises(click.UsageError, match=r"available are .*test_votes"):
        check_method("test_vote", None, None, None)


def test__installed_package__fit_and_predict_in_other_processes__error_without_it(installed, tmp_path):
    saved = tmp_path / "saved"
    fitted = run(FIT, "plugin_method", saved, site=installed)
    assert fitted.returncode == 0, fitted.stderr
    answered = run(PREDICT, saved, site=installed)
    assert answered.returncode == 0, answered.stderr
    assert answered.stdout == fitted.stdout
    with pytest.raises(ArtifactError, match=r"needs a plug-in that is not installed: .*plugin_method"):
        load_artifact(saved)


def test__installed_rule__without_it__error_names_the_rule(installed, tmp_path):
    saved = tmp_path / "saved"
    code = FIT.replace("method=sys.argv[1]", "method=HeadVoteClassifier(sys.argv[1])")
    code = "from savs.classifiers import HeadVoteClassifier" + code
    fitted = run(code, "plugin_mean", saved, site=installed)
    assert fitted.returncode == 0, fitted.stderr
    with pytest.raises(ArtifactError, match=r"plug-in that is not installed: .*'plugin_mean'"):
        load_artifact(saved)
