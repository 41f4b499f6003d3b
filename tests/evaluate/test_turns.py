from dataclasses import replace

import numpy as np
import pytest

from bskim_export.data.question import sample
from bskim_export.evaluate import turns
from bskim_export.evaluate.loop import evaluate
from bskim_export.evaluate.turns import Timing, time_in_turns
from bskim_export.runtime.policy import Thresholds


@pytest.fixture
def answerers(minilm_qa):
    own = minilm_qa.answerer(minilm_qa.options(max_seq_len=128))
    return [own, replace(own, policy=Thresholds({}))]


@pytest.mark.parametrize("together", [1, 2])
def test_every_way_answers_every_question_as_often_as_asked(together, answerers, squad):
    questions = sample(squad, 5, seed=3)
    ticks = []
    timings = time_in_turns(answerers, questions, 2, 2, lambda: ticks.append(1), together, warm_up=True)
    assert len(ticks) == (1 + 2) * 5
    for answerer, timing in zip(answerers, timings, strict=True):
        assert [one.question for one in timing.done] == questions
        assert [one.text for one in timing.done] == [one.text for one in evaluate(answerer, questions)]
        assert timing.runs.shape == (2, 5)
        assert (timing.runs > 0).all()
    assert timings[0].done[0].macs < timings[1].done[0].macs


def test_turns_begin_with_a_question_that_is_not_timed_and_another_way_each_time(answerers, squad, monkeypatch):
    asked = []

    def noted(answerer, questions, together=1):
        asked.append(("ab"[answerers.index(answerer)], "".join(q.id for q in questions)))
        return evaluate(answerer, questions, together=together)

    monkeypatch.setattr(turns, "evaluate", noted)
    questions = [replace(q, id=name) for q, name in zip(sample(squad, 3, seed=3), "123", strict=True)]
    time_in_turns(answerers, questions, 1, 2)
    assert asked == [
        ("a", "1"), ("a", "12"), ("b", "1"), ("b", "12"),
        ("b", "3"), ("b", "3"), ("a", "3"), ("a", "3"),
    ]  # fmt: skip


def test_engines_for_many_at_once_are_not_compiled_while_they_are_timed(answerers, squad, monkeypatch):
    asked = []

    def noted(answerer, questions, together=1):
        asked.append(("ab"[answerers.index(answerer)], len(questions)))
        return evaluate(answerer, questions, together=together)

    monkeypatch.setattr(turns, "evaluate", noted)
    timings = time_in_turns(answerers, sample(squad, 3, seed=3), 1, 2, together=2)
    assert asked == [("a", 2), ("b", 2), ("a", 2), ("b", 2), ("b", 1), ("a", 1)]
    assert [timing.runs.shape for timing in timings] == [(1, 3)] * 2


def test_a_stall_does_not_show():
    assert Timing([], np.array([[1.0, 2.0], [9.0, 2.0], [1.0, 7.0]])).seconds.tolist() == [1.0, 2.0]
