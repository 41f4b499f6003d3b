"""The calibration of a split model: blocks and thresholds within a budget of F1."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from bskim_export.bundle.bundle import REPORT, Bundle
from bskim_export.calibrate import split
from bskim_export.calibrate.recipes import Recipe
from bskim_export.calibrate.split import SplitSession, groups, in_order, thresholds_tried
from bskim_export.data.metrics import f1
from bskim_export.data.question import sample
from bskim_export.errors import InputError
from bskim_export.runtime.pipeline import QAPipeline
from bskim_export.training.split_evaluate import as_documents

RECIPE = Recipe(sample=36, held_out=6, max_f1_drop=100.0)


@pytest.fixture(scope="module")
def questions(squad):
    documents = sample(as_documents(squad[:600], 5), 6, seed=5)
    return [question for own in documents for question in own[:8]]


@pytest.fixture(scope="module")
def evidence(split_qa, questions, tmp_path_factory):
    return SplitSession(split_qa, questions, RECIPE, tmp_path_factory.mktemp("work"), "here").calibrate()


def test_the_cheapest_within_the_budget_is_chosen(evidence, split_qa, questions, tmp_path):
    costs = [row["gmacs_per_question"] for row in evidence["tried"]]
    assert evidence["chosen"] == int(np.argmin(costs))
    assert len(costs) == len({(row["max_blocks"], *row["thresholds"].values()) for row in evidence["tried"]}) > 5
    # By hand: those within the budget, and among them the cheapest.
    drops = [row["f1_drop"] for row in evidence["tried"]]
    budget = float(np.median(drops))
    found = SplitSession(split_qa, questions, replace(RECIPE, max_f1_drop=budget), tmp_path, "here").calibrate()
    able = [i for i, drop in enumerate(drops) if drop <= budget]
    assert found["chosen"] == min(able, key=lambda i: costs[i])
    assert found["tried"] == evidence["tried"]


def test_its_figures_are_those_of_a_pipeline_at_that_setting(evidence, split_bundle, questions):
    session = SplitSession(QAPipeline(split_bundle), questions, RECIPE, None, "here")
    for row in (evidence["tried"][-1], evidence["tried"][0], evidence["tried"][evidence["chosen"]]):
        qa = QAPipeline(split_bundle, threshold=row["thresholds"][1])
        texts = [
            qa(question=q.question, context=q.context, max_blocks=row["max_blocks"])["answer"]
            for q in session.calibration
        ]
        scores = [100 * f1(text, q.gold) for text, q in zip(texts, session.calibration, strict=True)]
        assert row["f1"] == pytest.approx(np.mean(scores))


def test_fewer_blocks_and_higher_thresholds_cost_less(evidence):
    plain = [row for row in evidence["tried"] if not any(row["thresholds"].values())]
    for rows in (plain, plain[::-1]):
        assert [row["max_blocks"] for row in rows] == sorted(
            (row["max_blocks"] for row in rows), reverse=rows is not plain
        )
    costs = [row["gmacs_per_question"] for row in plain]
    assert costs == sorted(costs)
    assert costs[0] < costs[-1]
    most = [row for row in evidence["tried"] if row["max_blocks"] == plain[-1]["max_blocks"]]
    skimming = [row["gmacs_per_question"] for row in most[1:]]  # a predictor that drops nothing only costs
    assert skimming == sorted(skimming, reverse=True)
    assert plain[-1]["f1_drop"] == 0
    assert plain[-1]["speedup_macs"] == 1


def test_a_run_that_was_killed_goes_on_to_the_same_end(evidence, split_qa, questions, tmp_path, monkeypatch):
    shards, done = split.shards, []

    def until_the_third(*args):
        for one in shards(*args):
            done.append(one)
            if len(done) == 3:
                raise KeyboardInterrupt
            yield one

    monkeypatch.setattr(split, "shards", until_the_third)
    with pytest.raises(KeyboardInterrupt):
        SplitSession(split_qa, questions, RECIPE, tmp_path, "here").calibrate()
    monkeypatch.undo()
    steps = []
    session = SplitSession(split_qa, questions, RECIPE, tmp_path, "here", lambda *step: steps.append(step))
    assert session.calibrate() == evidence
    assert {what for what, _, _ in steps} == {
        "Recording keep probabilities", "Running calibration questions", "Running held-out questions",
    }  # fmt: skip


def test_what_was_chosen_is_written_and_is_what_a_question_reads(evidence, split_bundle, questions, tmp_path):
    folder = shutil.copytree(split_bundle, tmp_path / "bundle")
    Bundle.open(folder).write_calibration(evidence["thresholds"], evidence, max_blocks=evidence["max_blocks"])
    qa = QAPipeline(folder)
    manifest = qa.bundle.manifest
    assert manifest.split.max_blocks == evidence["max_blocks"] < manifest.split.window_blocks
    assert manifest.thresholds == evidence["thresholds"]
    assert '"held_out"' in (folder / REPORT).read_text()
    document = max((q.context for q in questions), key=len)
    stats = qa(question="Who?", context=document, return_stats=True)["stats"]
    few = qa(question="Who?", context=document, max_blocks=evidence["max_blocks"], return_stats=True)["stats"]
    many = qa(question="Who?", context=document, max_blocks=manifest.split.window_blocks, return_stats=True)["stats"]
    assert stats["kept_share"] == few["kept_share"] < many["kept_share"]
    # What was prepared before serves: the lower layers are the same.
    assert qa.split_answerer().identity == QAPipeline(split_bundle).split_answerer().identity


@pytest.mark.parametrize("changes", [
    {"max_f1_drop": None, "risk": 0.1}, {"objective": "latency"}, {"max_seq_len": 64},
])  # fmt: skip
def test_what_a_split_model_cannot_be_calibrated_for_is_refused(changes, split_qa, questions, tmp_path):
    with pytest.raises(InputError, match="--max-f1-drop only"):
        SplitSession(split_qa, questions, replace(RECIPE, **changes), tmp_path, "here")


def test_few_questions_are_refused(split_qa, questions, tmp_path):
    with pytest.raises(InputError, match="too few to calibrate on"):
        SplitSession(split_qa, questions[:10], RECIPE, tmp_path, "here").calibrate()


def test_thresholds_lose_the_share_of_answers_that_they_are_named_for():
    rng = np.random.default_rng(0)
    probability = rng.random((1000, 2)) ** [1, 3]
    probability[::10] = np.nan  # not read
    probability[1::10, 0] = np.inf  # not judged
    for share, thresholds in zip(split.LOST, thresholds_tried(probability), strict=True):
        lost = (probability < thresholds).sum(0) / 900
        assert (lost <= share).all()
        assert (lost > share - 0.002).all()
    assert thresholds_tried(np.full((5, 1), np.nan)) == thresholds_tried(np.zeros((0, 0))) == []
    assert thresholds_tried(np.full((5, 1), np.inf)) == [(1.0,)]


def test_questions_of_one_context_stand_together(squad):
    mixed = sample(squad, 200, seed=3)
    found = in_order(mixed)
    assert sorted(map(id, found)) == sorted(map(id, mixed))
    parts = [found[a:b] for a, b in groups(found)]
    assert [q for part in parts for q in part] == found
    assert len(parts) == len({q.context for q in mixed})
    assert all(len({q.context for q in part}) == 1 for part in parts)
