import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bskim_export.calibrate.needed_blocks import lost, occurrences
from bskim_export.calibrate.record import record
from bskim_export.calibrate.simulate import Simulator
from bskim_export.calibrate.threshold_path import find_threshold_path
from bskim_export.data.question import Question
from bskim_export.errors import InputError


def test_occurrences_hold_the_whole_answer(recorded):
    for question in recorded.questions:
        windows = recorded.windows(question)
        found = occurrences(question, windows, 32)
        assert found
        for w, first, last in found:
            window = windows[w]
            places = np.arange(window.passage.start, window.passage.stop) // 32
            offsets = window.offsets[(first <= places) & (places <= last)]
            covered = question.context[offsets[0, 0] : offsets[-1, 1]]
            assert any(answer in covered for answer in question.answers)


def test_an_answer_that_a_window_cuts_is_no_occurrence(recorded):
    words = " ".join(f"word{i}" for i in range(300))
    context = words + " Ada Lovelace wrote it " + words
    question = Question("x", "Who wrote it?", context, (context, "Ada Lovelace"), (0, len(words) + 1))
    found = occurrences(question, recorded.windows(question), 32)
    assert 1 <= len(found) <= 2
    assert all(last - first <= 1 for _, first, last in found)


def test_a_question_with_no_answer_in_reach_cannot_be_lost(recorded, tmp_path):
    question = Question("x", "Who?", "Nobody knows who wrote the old book.", (), ())
    seen = record(recorded.answerer, [question], tmp_path)
    assert seen.gold.shape == (0, 3)
    simulator = Simulator(seen, recorded.answerer.runner.model)
    assert not simulator.run(np.full(6, 0.99)).lost.any()
    with pytest.raises(InputError, match="None of 1 calibration questions has a gold answer"):
        find_threshold_path(simulator, np.ones(1))


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans())))
def test_a_question_is_lost_if_it_has_occurrences_and_none_is_whole(found):
    found.sort()
    question, whole = np.array([q for q, _ in found], int), np.array([w for _, w in found], bool)
    wanted = [{w for q, w in found if q == number} == {False} for number in range(6)]
    assert lost(question, whole, 6).tolist() == wanted
