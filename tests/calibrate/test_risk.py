import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bskim_export.calibrate.risk import (
    allowed_losses,
    binomial_p_value,
    check_size,
    check_splits,
    fixed_sequence,
    needed_questions,
)
from bskim_export.errors import InputError

risks = st.integers(1, 99).map(lambda k: Fraction(k, 100))


@given(st.integers(1, 200), st.data(), risks)
def test_the_p_value_is_the_exact_binomial_tail(questions, data, risk):
    losses = data.draw(st.integers(0, questions))
    exact = sum(math.comb(questions, k) * risk**k * (1 - risk) ** (questions - k) for k in range(losses + 1))
    assert binomial_p_value(losses, questions, float(risk)) == pytest.approx(float(exact), rel=1e-9, abs=1e-300)


def test_the_p_value_holds_for_many_questions():
    assert binomial_p_value(100_000, 5_000_000, 0.02) == pytest.approx(0.5, abs=2e-3)


@given(st.floats(0.001, 0.5), st.floats(0.5, 0.999))
def test_the_least_number_of_questions_is_the_least(risk, confidence):
    least = needed_questions(risk, confidence)
    assert allowed_losses(least, risk, confidence) >= 0
    assert least == 1 or allowed_losses(least - 1, risk, confidence) == -1


def test_too_few_questions_are_refused_with_how_many_it_takes():
    check_size(149, 0.02, 0.95)
    with pytest.raises(InputError, match=r"148 certification questions are too few.*it takes 149.*at least 298"):
        check_size(148, 0.02, 0.95)


def test_testing_stops_at_the_first_candidate_that_is_not_certified():
    counts = {"a": 0, "b": 3, "c": 9, "d": 0}
    tested = fixed_sequence("abcd", counts.__getitem__, 400, 0.02, 0.95)
    assert [(c, n) for c, n, _ in tested] == [("a", 0), ("b", 3), ("c", 9)]
    assert tested[1][2] <= 0.05 < tested[2][2]


@pytest.mark.parametrize(("questions", "risk", "delta"), [(300, 0.02, 0.05), (150, 0.05, 0.1), (1000, 0.01, 0.05)])
def test_a_risk_above_the_promised_one_is_certified_in_at_most_delta_of_the_draws(questions, risk, delta):
    """The promise itself, where it is hardest: nested losses, candidates just above the bound."""
    random, draws = np.random.default_rng(0), 4000
    rates = risk * np.array([0.3, 0.6, 0.9, 1.001, 1.05, 1.2])
    broken = 0
    for _ in range(draws):
        lost = (random.random(questions) < rates[:, None]).sum(axis=1)
        passed = [i for i, _, p in fixed_sequence(range(6), lost.__getitem__, questions, risk, 1 - delta) if p <= delta]
        broken += bool(passed) and rates[passed[-1]] > risk
    assert broken / draws <= delta + 3 * math.sqrt(delta * (1 - delta) / draws)


def test_a_bound_without_the_binomial_margin_would_be_broken_often():
    """The test above can fail: believing the observed rate breaks the bound in about half of the draws."""
    random = np.random.default_rng(0)
    lost = random.binomial(300, 0.021, size=4000)
    assert (lost / 300 <= 0.02).mean() > 0.4


def test_splits_count_what_is_broken_on_unseen_questions():
    random = np.random.default_rng(1)
    lost = random.random(3000) < np.array([0.002, 0.01, 0.018, 0.03])[:, None]
    outcome = check_splits(lost, 200, 0.02, 0.95, seed=0)
    assert outcome.certified == 200
    assert outcome.broken <= 10
    assert outcome.broken_overall <= 10
    assert 0.005 < outcome.mean_loss < 0.02
