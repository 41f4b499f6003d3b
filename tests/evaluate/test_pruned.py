"""What pruning keeps of what is needed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bskim_export import QAPipeline
from bskim_export.data.question import Question
from bskim_export.evaluate.loop import evaluate
from bskim_export.evaluate.pruned import judge, reader_scores, recall, thresholds_for
from bskim_export.runtime.highlight import Sentence

TEXT = "The boat was old. Ada wrote it in May. The river is long. Ada was here."


def cut(text, probabilities):
    found = []
    start = 0
    for part, p in zip(text.split(". "), probabilities, strict=True):
        end = min(start + len(part) + 1, len(text))
        found.append(Sentence(start=start, end=end, probability=p, kept=True))
        start = end + 1
    return found


def question(**fields):
    return Question("1", "Who?", TEXT, ("Ada", "Ada"), (18, 58), **fields)


def test_an_answer_is_needed_in_any_of_its_places_and_every_supporting_fact():
    sentences = cut(TEXT, [0.1, 0.4, 0.2, 0.3])
    assert judge(question(), sentences).needs == [[[1], [3]]]
    assert judge(question(supporting=((0, 10), (30, 45))), sentences).needs == [[[0]], [[1, 2]]]
    assert judge(Question("2", "Who?", TEXT, (), ()), sentences).needs == []


def test_recall_counts_needs_and_questions():
    answer = judge(question(), cut(TEXT, [0.1, 0.4, 0.2, 0.9]))
    facts = judge(question(supporting=((0, 10), (30, 45))), cut(TEXT, [0.8, 0.9, 0.1, 0.2]))
    lengths = [s["end"] - s["start"] for s in answer.sentences]
    found = recall([answer, facts], 0.5)
    assert found["recall"] == pytest.approx(2 / 3)  # the answer in its second place, and one of two facts
    assert found["whole"] == 0.5
    assert found["cut"] == pytest.approx(1 - (lengths[3] + lengths[0] + lengths[1]) / (2 * sum(lengths)))
    assert recall([answer, facts], 0.0) == {"cut": 0.0, "recall": 1.0, "whole": 1.0}


@given(st.lists(st.sampled_from([0.0, 0.1, 0.1, 0.5, 0.9, 1.0]), min_size=4, max_size=4), st.floats(0, 0.99))
def test_the_threshold_for_a_share_is_the_lowest_that_cuts_so_much(probabilities, share):
    judged = [judge(question(), cut(TEXT, probabilities))]
    (threshold,) = thresholds_for(judged, [share])
    assert recall(judged, threshold)["cut"] >= share - 1e-9
    if threshold > 0:
        assert recall(judged, float(np.nextafter(threshold, -1)))["cut"] < share + 1e-9


def test_a_reader_of_all_sentences_scores_as_one_of_the_text_and_nothing_is_read_of_nothing(minilm_bundle, squad):
    qa = QAPipeline(minilm_bundle, threshold=0)
    answerer = qa.answerer()
    some = [squad[0], squad[400], squad[4000]]
    judged = [judge(q, [Sentence(start=0, end=len(q.context), probability=0.5, kept=True)]) for q in some]
    done = []
    em, f1 = reader_scores(answerer, judged, 0.1, done.append)
    assert f1.tolist() == [d.f1 for d in evaluate(answerer, some)]
    assert sum(done) == 3
    em, f1 = reader_scores(answerer, judged, 0.9)
    assert em.tolist() == f1.tolist() == [0, 0, 0]
