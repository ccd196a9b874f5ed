from __future__ import annotations

import numpy as np
import pytest

from savs.classifiers import State, available_methods, make_method
from savs.classifiers.methods import classifier_from_state
from savs.layout import HeadLayout

METHODS = [name for name in available_methods() if not make_method(name).needs_prototypes]
LAYOUT = HeadLayout.uniform(2, 3, 4).with_state(5).with_options(3)


def make():
    rng = np.random.default_rng(0)
    codes = np.arange(18) % 3
    return rng.standard_normal((18, LAYOUT.width)) + 2 * np.eye(3, LAYOUT.width)[codes], codes


@pytest.mark.parametrize("name", METHODS)
def test__every_name__fits_predicts_and_comes_back_from_its_state(name):
    rows, codes = make()
    fitted = make_method(name, LAYOUT).fit(rows, codes)
    assert set(fitted.predict(rows).tolist()) <= {0, 1, 2}
    again = classifier_from_state(fitted.to_state())
    assert np.array_equal(again.predict_proba(rows), fitted.predict_proba(rows))


def test__names__those_of_the_comparison_are_there():
    assert {"sav", "auto", "hec_v", "calm", "nearest_shot"} <= set(METHODS)


def test__unusable_name_or_setting__error():
    with pytest.raises(ValueError, match="no method is named 'best'"):
        make_method("best")
    with pytest.raises(ValueError, match="'kernel_ridge' takes no n_heads"):
        make_method("kernel_ridge", n_heads=3)
    with pytest.raises(ValueError, match="'sav' takes no priors"):
        make_method("sav", priors="empirical")
    with pytest.raises(ValueError, match="no registered method uses an estimator named 'SVC'"):
        classifier_from_state(State({}, {"estimator": "SVC"}))


def test__n_heads_and_priors__reach_the_estimator():
    rows, codes = make()
    fitted = make_method("mean_proba", LAYOUT, n_heads=2, priors=[2, 1, 1]).fit(rows, codes)
    assert len(fitted.heads_) == 2
    assert np.exp(fitted.log_priors_) == pytest.approx([0.5, 0.25, 0.25])
