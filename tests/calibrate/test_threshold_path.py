import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bskim_export.calibrate.simulate import Simulator
from bskim_export.calibrate.threshold_path import LIMIT, SmoothLoss, find_threshold_path, log_odds

thresholds = st.lists(st.sampled_from([0.0, 0.002, 0.05, 0.3, 0.7, 0.9]), min_size=6, max_size=6).map(np.array)


@pytest.mark.parametrize("price", [None, np.array([0, 1e-3, 5e-4, 1e-4, 0.03, 0])])
def test_a_path_is_nested_and_never_gets_dearer_or_safer(simulator, price):
    priced = Simulator(simulator.record, simulator.model, price)
    path = find_threshold_path(priced, np.ones(24))
    assert len(path.cost) > 5
    assert not path.thresholds[0].any()
    assert (np.diff(path.thresholds, axis=0) >= 0).all()
    assert (np.diff(path.cost) < 0).all()
    assert (np.diff(path.loss) >= -1e-12).all()
    assert (path.loss[:-1] < LIMIT).all()
    assert path.cost[-1] == pytest.approx(priced.cost(path.thresholds[-1]).sum(), rel=1e-12)


def test_a_predictor_that_does_not_pay_is_not_run(simulator):
    dear = np.array([0, 0, 10, 0, 1e-9, 0])
    assert len(find_threshold_path(Simulator(simulator.record, simulator.model, dear), np.ones(24)).cost) == 1


@given(thresholds)
@settings(deadline=None, max_examples=40)
def test_the_smooth_loss_counts_a_lost_question_at_least_half(simulator, t):
    """A needed block below its threshold has a chance below 1/2 to stay. Questions that run again are not lost more."""
    lost = simulator.run(t).lost.sum()
    assert SmoothLoss(simulator, np.ones(24))(t) * 24 >= lost / 2


@given(thresholds, thresholds, st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=40)
def test_the_smooth_loss_grows_with_thresholds_and_weights(simulator, a, b, seed):
    weight = np.random.default_rng(seed).uniform(0, 1, 24)
    low, high = np.minimum(a, b), np.maximum(a, b)
    smooth = SmoothLoss(simulator, weight)
    assert smooth(low) <= smooth(high)
    assert smooth(low) <= SmoothLoss(simulator, np.ones(24))(low)
    assert smooth(np.zeros(6)) == 0


@given(st.floats(1e-6, 1 - 1e-6))
def test_log_odds_are_the_inverse_of_the_sigmoid(p):
    assert 1 / (1 + np.exp(-log_odds(np.array(p)))) == pytest.approx(p, rel=1e-6)
