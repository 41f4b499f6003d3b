import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bskim_export.calibrate.simulate import Outcome
from bskim_export.calibrate.summary import by_layer, compare, paper_speedup, standard_error, summarise
from bskim_export.evaluate.macs import dense_macs


def outcome(f1, macs, kept) -> Outcome:
    n = len(f1)
    return Outcome(
        em=np.floor(f1), f1=np.array(f1), answer=np.zeros(n, np.int64), macs=np.array(macs), lost=np.array(f1) == 0,
        kept=np.array(kept), stays=np.ones(4, bool),
    )  # fmt: skip


DENSE = outcome([1.0, 0.5, 1.0, 1.0], [400, 400, 200, 200], [[4, 4]] * 4)
SKIM = outcome([1.0, 0.5, 0.0, 0.5], [100, 100, 100, 100], [[4, 2], [4, 0], [2, 2], [2, 0]])


def test_figures_are_over_the_dense_run_of_the_same_questions():
    row = summarise(SKIM, DENSE)
    assert (row["em"], row["f1"], row["f1_drop"]) == (25, 50, 37.5)
    assert row["f1_drop_standard_error"] == pytest.approx(np.std([0, 0, 100, 50, 100]) / 5**0.5)
    assert row["speedup_macs"] == 3
    assert row["gmacs_per_question"] == pytest.approx(100 / 1e9)
    assert row["questions_that_lost_a_needed_block"] == 1
    assert row["kept_blocks"] == [12 / 16, 4 / 16]


def test_both_rows_are_compared():
    both = compare(SKIM, DENSE)
    assert both == {"questions": 4, "dense": summarise(DENSE, DENSE), "skim": summarise(SKIM, DENSE)}
    assert both["dense"]["f1_drop"] == 0
    assert both["dense"]["speedup_macs"] == 1


@given(st.integers(1, 5000))
def test_the_error_is_never_zero_and_three_of_them_are_the_rule_of_three(questions):
    """Where nothing was lost, the 95 % bound of the share that may be lost is 1 - 0.05^(1/n)."""
    error = standard_error(np.zeros(questions))
    bound = 100 * (1 - 0.05 ** (1 / questions))
    assert 0.6 * bound < 3 * error < 1.6 * bound


def test_of_many_questions_the_error_is_the_plain_one():
    drops = np.random.default_rng(0).normal(0.2, 10, 5000)
    assert standard_error(drops) == pytest.approx(drops.std() / 5000**0.5, rel=0.02)


def test_the_papers_speedup_counts_padding(simulator):
    dense = simulator.run(np.zeros(6))
    padded = len(simulator.record.blocks) * dense_macs(simulator.model, 512)
    assert paper_speedup(dense, simulator.record, simulator.model) == pytest.approx(padded / dense.macs.sum())


def test_thresholds_are_named_by_their_layer():
    named = by_layer((1, 4), np.array([0.25, 0.5]))
    assert named == {1: 0.25, 4: 0.5}
    assert all(type(value) is float for value in named.values())
