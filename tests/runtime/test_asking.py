"""Questions of one window and of several have thresholds of their own, whatever else is asked beside them."""

import shutil

import numpy as np
import pytest

from bskim_export import Bundle, QAPipeline
from bskim_export.blocks import KEPT
from bskim_export.data.documents import some_of_each, whole_articles
from bskim_export.evaluate.loop import evaluate
from bskim_export.evaluate.macs import window_macs
from bskim_export.runtime.policy import KeepSchedule, Thresholds, for_documents


@pytest.fixture(scope="module")
def questions(squad):
    """Single passages, and parts of articles."""
    return [*squad[:3], *some_of_each(whole_articles(squad[:160]), 2), *squad[5000:5002]]


@pytest.fixture(scope="module")
def strict(minilm_bundle, tmp_path_factory):
    """A bundle that keeps everything of single passages, and hardly anything of documents."""
    folder = tmp_path_factory.mktemp("strict") / "bundle"
    shutil.copytree(minilm_bundle, folder)
    layers = Bundle.open(folder).skim_layers
    keep = Bundle.open(folder).write_calibration(dict.fromkeys(layers, 0.0), {})
    keep.write_calibration(dict.fromkeys(layers, 0.0) | {2: 0.99}, {}, documents=True)
    return folder


def test_each_question_runs_with_the_thresholds_of_its_kind(strict, questions):
    qa = QAPipeline(strict)
    done = list(evaluate(qa.answerer(), questions, together=len(questions)))
    single = [len(d.windows) == 1 for d in done]
    assert 0 < sum(single) < len(single)
    for one, alone in zip(done, single, strict=True):
        kept = np.mean(np.concatenate([r.dropped_after == KEPT for r in one.results]))
        assert kept == 1 if alone else kept < 0.5
        scored = () if alone else (2,)
        pairs = zip(one.windows, one.results, strict=True)
        assert one.macs == sum(window_macs(qa.bundle.model, r, w.unjudged_blocks, scored) for w, r in pairs)


def test_they_are_answered_beside_each_other_as_alone(strict, questions):
    qa = QAPipeline(strict)
    together = [d.text for d in evaluate(qa.answerer(), questions, together=len(questions))]
    assert together == [d.text for d in evaluate(qa.answerer(), questions, together=1)]


def test_passages_are_a_document_and_a_single_one_is_none(strict, squad):
    qa = QAPipeline(strict)
    text = squad[0].context
    (alone, some) = (
        qa(question=squad[0].question, passages=passages, return_skim=True) for passages in ([text], [text, text])
    )
    assert alone["skipped"] == []
    assert some["skipped"]


def test_one_threshold_is_for_both(strict, questions):
    qa = QAPipeline(strict, threshold=0)
    for one in evaluate(qa.answerer(), questions):
        assert all((r.dropped_after == KEPT).all() for r in one.results)


def test_a_policy_without_a_kind_is_for_both():
    schedule = KeepSchedule([0.5])
    plain = Thresholds({0: 0.5})
    assert for_documents(schedule) is schedule
    assert for_documents(plain) is plain
    assert for_documents(None) is None
    assert for_documents(Thresholds({0: 0.5}, {0: 0.75})).by_layer == {0: 0.75}
