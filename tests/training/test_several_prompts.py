"""What several prompts gain: the questions are columns, the figures are those of plain loops."""

import numpy as np
import pytest
from training.several_prompts import PROMPTS, figures, judged, mean_figures, without_question

from savs.backbones import PromptTemplate
from savs.classifiers import Method, Shots
from savs.classifiers.prompt_ensemble import PromptMethod, PromptRows
from savs.data import as_examples
from savs.layout import HeadLayout


@pytest.mark.parametrize("name", PROMPTS)
def test__prompts__of_a_task__fill_and_differ(name) -> None:
    own = "Does this image show 'a green circle'? Answer with Yes or No."
    [example] = without_question(as_examples([(np.zeros((8, 8, 3), np.uint8), own)]))
    assert example.text == ""
    texts = [PromptTemplate(prompt).apply(example).text for prompt in PROMPTS[name]]
    assert len(set(texts)) == len(texts) >= 3
    assert not any("{" in text for text in texts)
    if name.startswith("caption"):
        assert texts[0] == own


def test__figures__by_hand() -> None:
    log_proba = np.log(np.array([[0.8, 0.2], [0.4, 0.6], [0.9, 0.1]]))
    found = figures(log_proba, np.array([0, 1, 1]))
    assert found["accuracy"] == 2 / 3
    assert found["log_loss"] == pytest.approx(-np.log(0.8 * 0.6 * 0.1) / 3)
    assert mean_figures([{"a": {"x": 1.0}}, {"a": {"x": 3.0}}]) == {"a": {"x": 2.0}}


def test__judged__each_prompt_alone_the_chosen_one_and_the_means() -> None:
    one = HeadLayout.uniform(2, 3, 4)
    rng = np.random.default_rng(0)
    codes = np.arange(2).repeat(8)
    centers = rng.standard_normal((2, one.width))
    of_each = [centers[codes] + scale * rng.standard_normal((16, one.width)) for scale in (0.3, 5.0)]
    rows = PromptRows.of(one, 2)
    shots = Shots(rows.joined(of_each), codes, 2, rows.layout)
    method = PromptMethod(Method("mean_proba"), rows)
    found = judged(method, shots, np.array(["a", "b"]), shots.rows, codes)
    fitted = [Method("mean_proba").make(one, None).fit(own, codes) for own in of_each]
    logs = [classifier.predict_log_proba(own) for classifier, own in zip(fitted, of_each, strict=True)]
    alone = [figures(log, codes) for log in logs]
    assert found["own question"] == found["best by held-out loss"] == alone[0]
    mean = np.mean([one["log_loss"] for one in alone])
    assert found["mean of single prompts"]["log_loss"] == pytest.approx(mean)
    pooled = np.log(np.mean(np.exp(logs), axis=0))
    assert found["equal weights"] == pytest.approx(figures(pooled, codes))
    assert 0.5 < found["largest weight"]["weight"] < 1
