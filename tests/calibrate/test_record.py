from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bskim_export import QAPipeline
from bskim_export.bundle.bundle import Bundle
from bskim_export.calibrate.record import Record, record, work_key
from bskim_export.calibrate.simulate import Simulator
from bskim_export.data.question import Question
from bskim_export.errors import InputError
from bskim_export.runtime.policy import KeepSchedule

thresholds = st.lists(st.sampled_from([0.0, 0.002, 0.05, 0.3, 0.7, 0.9]), min_size=6, max_size=6).map(np.array)


def test_every_block_of_every_window_has_its_scores(recorded):
    seen = recorded.record
    windows = [w for q in recorded.questions for w in recorded.windows(q)]
    assert seen.windows.tolist() == [len(recorded.windows(q)) for q in recorded.questions]
    assert seen.blocks.tolist() == [len(w.input_ids) // 32 for w in windows]
    assert seen.scores.shape == (6, seen.blocks.sum())
    place = np.concatenate([np.arange(n) for n in seen.blocks])
    asked = place < np.repeat(seen.unjudged_blocks, seen.blocks)
    assert np.isposinf(seen.scores[:, asked]).all()
    assert ((seen.scores[:, ~asked] >= 0) & (seen.scores[:, ~asked] <= 1)).all()


def test_scores_are_those_of_each_window_alone(recorded):
    """They were recorded in batches, whose windows' scores come one after the other."""
    seen = recorded.record
    starts = np.cumsum(seen.blocks) - seen.blocks
    windows = [w for q in recorded.questions for w in recorded.windows(q)]
    for i in range(0, len(windows), 7):
        (alone,) = recorded.answerer.runner.run([windows[i]], KeepSchedule([1.0]))
        passage = slice(starts[i] + seen.unjudged_blocks[i], starts[i] + seen.blocks[i])
        assert seen.scores[:, passage] == pytest.approx(alone.probabilities[:, windows[i].unjudged_blocks :], abs=1e-4)


@given(thresholds, st.integers(0, 24), st.integers(0, 24))
@settings(deadline=None, max_examples=20)
def test_a_part_of_a_record_is_the_record_of_that_part(simulator, t, a, b):
    start, stop = sorted((a, b))
    if start == stop:
        return
    whole, part = simulator.run(t), Simulator(simulator.record.part(start, stop), simulator.model).run(t)
    for name in ("em", "f1", "answer", "macs", "lost", "kept"):
        assert np.array_equal(getattr(whole, name)[start:stop], getattr(part, name)), name


def test_shards_are_joined_into_the_record_of_all_questions(recorded, tmp_path, monkeypatch):
    monkeypatch.setattr("bskim_export.calibrate.store.SHARD", 5)
    progress = []
    joined = record(recorded.answerer, recorded.questions[:12], tmp_path, progress.append)
    assert progress == [5, 5, 2]
    whole = recorded.record.part(0, 12)
    for name in ("windows", "blocks", "question_blocks", "may_leave", "judge_shared", "gold"):
        assert np.array_equal(getattr(joined, name), getattr(whole, name)), name
    assert joined.scores == pytest.approx(whole.scores, abs=1e-4)
    assert joined.mass == pytest.approx(whole.mass, abs=1e-3)
    assert joined.spans[:, 0].max() == len(joined.text) - 1


def test_a_record_is_read_back_not_made_again(recorded, stopped):
    again = record(stopped, recorded.questions, recorded.folder)
    for name in vars(recorded.record):
        assert np.array_equal(getattr(again, name), getattr(recorded.record, name)), name
    assert isinstance(again, Record)


def test_a_question_that_cannot_be_run_is_named(recorded, tmp_path):
    silent = Question("q7", "?!", " ", ("x",), (0,))
    with pytest.raises(InputError, match="Question 'q7': "):
        record(recorded.answerer, [recorded.questions[0], silent], tmp_path)


def test_the_key_of_finished_work_depends_on_all_that_the_work_depends_on(tiny_bundle, recorded):
    qa = QAPipeline(tiny_bundle())
    questions, options = recorded.questions, qa.options()
    key = work_key(qa.bundle, questions, options)
    assert key == work_key(QAPipeline(tiny_bundle(), threshold=0.9).bundle, list(questions), qa.options())
    changed = replace(qa.bundle.manifest, files=dict.fromkeys(qa.bundle.manifest.files, "0" * 64))
    others = [
        work_key(qa.bundle, questions[1:], options),
        work_key(qa.bundle, [replace(questions[0], accepted=("x",)), *questions[1:]], options),
        work_key(qa.bundle, questions, replace(options, doc_stride=7)),
        work_key(qa.bundle, questions, replace(options, max_answer_len=7)),
        work_key(Bundle(qa.bundle.folder, changed), questions, options),
    ]
    assert len({key, *others}) == 6
