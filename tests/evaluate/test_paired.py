from dataclasses import replace

import numpy as np
import pytest

from bskim_export import QAPipeline
from bskim_export.bench.rows import make_rows, measure, summarise
from bskim_export.data.question import sample
from bskim_export.evaluate.paired import Answers, answer_all, bootstrap, figures
from bskim_export.runtime.policy import Thresholds


@pytest.fixture(scope="module")
def skimming(minilm_bundle):
    return QAPipeline(minilm_bundle, threshold=0.3).answerer()


@pytest.fixture(scope="module")
def dense(skimming):
    return replace(skimming, policy=Thresholds({}))


def test_scores_and_macs_are_those_of_the_benchmark(skimming, dense, squad):
    questions = sample(squad, 6, seed=21)
    rows = make_rows(skimming)
    measure(rows, questions, lambda: None, repeats=1)
    for row, answerer in ((rows[1], dense), (rows[2], skimming)):
        ours = answer_all(answerer, questions)
        theirs = summarise(row, rows[1], "")
        assert ours.text == [done.text for done in row.alone.done]
        assert 100 * ours.em.mean() == pytest.approx(theirs["em"])
        assert 100 * ours.f1.mean() == pytest.approx(theirs["f1"])
        assert ours.macs.sum() / 1e9 == pytest.approx(theirs["gmacs_per_question"] * len(questions))


def test_questions_with_supporting_facts_are_kept_apart(dense, squad):
    questions = sample(squad, 8, seed=22)
    questions[:3] = [replace(q, supporting=((0, 5),)) for q in questions[:3]]
    found = answer_all(dense, questions)
    whole, supported, rest = figures(questions, {"a": found, "b": found})
    assert (whole["questions"], supported["questions"], rest["questions"]) == (8, 3, 5)
    assert whole["f1_difference"] == whole["different_answers"] == 0
    assert supported["rows"]["a"]["f1"] == pytest.approx(100 * found.f1[:3].mean())


def test_the_second_way_is_compared_with_the_first(squad):
    first = Answers(["a", "b"], np.array([1.0, 1.0]), np.array([1.0, 1.0]), np.array([30, 50]), np.array([100, 100]))
    second = Answers(["a", "c"], np.array([1.0, 0.0]), np.array([1.0, 0.5]), np.array([20, 20]), np.array([100, 100]))
    (whole,) = figures(sample(squad, 2), {"dense": first, "skim": second})
    assert (whole["f1_difference"], whole["different_answers"]) == (-25, 1)
    assert whole["rows"]["dense"]["speedup_macs"] == 1
    assert whole["rows"]["skim"] == {
        "em": 50, "f1": 75, "gmacs_per_question": pytest.approx(20e-9), "speedup_macs": 2,
        "speedup_macs_over_padded_512": 5,
    }  # fmt: skip
    low, high = whole["interval"]
    assert -50 <= low <= -25 <= high <= 0


def test_progress_counts_every_question(dense, squad):
    progress = []
    answer_all(dense, sample(squad, 3), progress.append)
    assert sum(progress) == 3


def test_the_interval_holds_the_true_mean_about_as_often_as_it_says(monkeypatch):
    monkeypatch.setattr("bskim_export.evaluate.paired.DRAWS", 1000)
    random = np.random.default_rng(3)
    hits = 0
    for seed in range(60):
        low, high = bootstrap(random.normal(0.3, 1.0, 200), seed)
        hits += low <= 0.3 <= high
    assert 50 <= hits <= 60


def test_the_interval_is_the_same_for_the_same_seed():
    difference = np.random.default_rng(0).normal(0, 1, 50)
    assert bootstrap(difference, seed=4) == bootstrap(difference, seed=4) != bootstrap(difference, seed=5)
