import numpy as np
import pytest

from bskim_export.calibrate.simulate import Outcome
from bskim_export.calibrate.summary import by_layer, compare, paper_speedup, summarise
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
    assert row["f1_drop_standard_error"] == pytest.approx(np.std([0, 0, 100, 50]) / 2)
    assert row["speedup_macs"] == 3
    assert row["gmacs_per_question"] == pytest.approx(100 / 1e9)
    assert row["questions_that_lost_a_needed_block"] == 1
    assert row["kept_blocks"] == [12 / 16, 4 / 16]


def test_both_rows_are_compared():
    both = compare(SKIM, DENSE)
    assert both == {"questions": 4, "dense": summarise(DENSE, DENSE), "skim": summarise(SKIM, DENSE)}
    assert both["dense"]["f1_drop"] == 0
    assert both["dense"]["speedup_macs"] == 1


def test_the_papers_speedup_counts_padding(simulator):
    dense = simulator.run(np.zeros(6))
    padded = len(simulator.record.blocks) * dense_macs(simulator.model, 512)
    assert paper_speedup(dense, simulator.record, simulator.model) == pytest.approx(padded / dense.macs.sum())


def test_thresholds_are_named_by_their_layer():
    named = by_layer((1, 4), np.array([0.25, 0.5]))
    assert named == {1: 0.25, 4: 0.5}
    assert all(type(value) is float for value in named.values())
