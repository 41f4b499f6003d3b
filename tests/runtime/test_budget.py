"""`max_blocks`: the best-scored blocks of a document go on, whatever its length, and nothing depends on the batch."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bskim_export import QAPipeline
from bskim_export.blocks import KEPT
from bskim_export.data.documents import some_of_each, whole_articles
from bskim_export.errors import BundleError, InputError
from bskim_export.evaluate.loop import evaluate
from bskim_export.runtime.budget import choose_blocks
from bskim_export.runtime.policy import Thresholds


@pytest.fixture(scope="module")
def qa(minilm_bundle):
    return QAPipeline(minilm_bundle)


@pytest.fixture(scope="module")
def articles(squad):
    """Parts of articles, of some windows each."""
    return some_of_each(whole_articles([q for q in squad[:120] if len(q.question) < 100]), 5)


def run(qa, questions, max_blocks, **options):
    answerer = qa.answerer(qa.options(max_blocks=max_blocks, **options))
    return list(evaluate(answerer, questions, together=len(questions)))


@given(
    st.dictionaries(st.integers(0, 5), st.lists(st.floats(0, 1, width=32), min_size=1, max_size=6), min_size=1),
    st.integers(1, 20),
)
def test_the_best_scored_blocks_are_chosen(judged, most):
    given_ = {w: (1, np.array([1, *p], np.float32)) for w, p in sorted(judged.items())}
    chosen, best = choose_blocks(given_, most)
    every = sorted(((-p, w, b) for w, own in judged.items() for b, p in enumerate(own, start=1)))
    expected = {(w, b) for _, w, b in every[:most]}
    assert {(w, b) for w, blocks in chosen.items() for b in np.flatnonzero(blocks).tolist()} == expected
    assert best == every[0][1:]
    assert list(chosen) == sorted(chosen)


def test_nothing_that_is_judged_cannot_be_chosen():
    assert choose_blocks({0: (2, np.ones(2, np.float32))}, 3) == ({}, None)


@pytest.mark.parametrize("most", [1, 4, 16])
def test_no_more_blocks_go_beyond_the_first_predictor(qa, articles, most):
    first = qa.answerer().scored_layers[0]
    for one in run(qa, articles, most):
        beyond = 0
        for window, result in zip(one.windows, one.results, strict=True):
            passage = result.dropped_after[window.unjudged_blocks :]
            beyond += int((passage > first).sum())
            if result.earlier is None:
                assert (result.dropped_after == first).all()
        shared = sum(w.judge_shared for w in one.windows)
        assert 1 <= beyond <= most + shared
        assert one.text


def test_as_many_blocks_as_there_are_change_nothing(qa, articles, squad):
    questions = [*articles[:3], *squad[:4]]
    for free, bounded in zip(run(qa, questions, None), run(qa, questions, 10_000), strict=True):
        assert free.answers == bounded.answers
        assert free.macs == bounded.macs


def test_answers_within_a_bound_do_not_depend_on_the_batch(qa, articles):
    texts = [[d.text for d in run(qa, articles, 6, batch_size=b)] for b in (1, 3, 16)]
    assert texts[0] == texts[1] == texts[2]
    alone = [run(qa, [q], 6)[0].text for q in articles]
    assert alone == texts[0]


def test_a_bound_costs_less_and_its_work_is_counted_twice_where_it_is_done_twice(qa, articles, minilm_bundle):
    dense = QAPipeline(minilm_bundle, threshold=0)
    whole = run(dense, articles, None)
    few = run(qa, articles, 4)
    many = run(qa, articles, 12)
    assert sum(d.macs for d in few) < sum(d.macs for d in many) < sum(d.macs for d in whole)
    for one in few:
        again = [r for r in one.results if r.earlier is not None]
        assert 1 <= len(again) <= 4
        assert sum(r.protected for r in again) == 1


def test_a_single_passage_within_the_bound_is_answered_as_ever_and_one_beyond_it_still_is(qa, squad):
    question = max(squad[:300], key=lambda q: len(q.context))
    (free,) = run(qa, [question], None)
    (bounded,) = run(qa, [question], 2)
    assert free.blocks > 3
    assert bounded.text
    assert sum(int((r.dropped_after == KEPT).sum()) for r in bounded.results) <= 2 + sum(
        w.question_blocks for w in bounded.windows
    )


def test_passages_have_one_bound_together(qa):
    passages = ["The river is long and cold."] * 8 + ["Ada Lovelace wrote the first program in 1843."]
    answer = qa(question="Who wrote the first program?", passages=passages, max_blocks=1)
    assert (answer["answer"], answer["passage"]) == ("Ada Lovelace", 8)


def test_the_null_answer_is_possible_within_a_bound(qa):
    passages = ["The river is long and cold."] * 8
    answer = qa(question="Who wrote it?", passages=passages, max_blocks=1, handle_impossible_answer=True)
    assert answer["answer"] == ""


def test_a_bound_needs_a_predictor(minilm_bundle):
    with pytest.raises(BundleError, match="max_blocks needs a predictor"):
        QAPipeline(minilm_bundle, threshold=0)(question="Who?", context="Ada wrote it.", max_blocks=4)


def test_what_is_bounded_is_run_with_the_thresholds_for_documents(minilm_bundle, squad):
    """Also a single window, if it has more blocks than it may have."""
    qa = QAPipeline(minilm_bundle)
    question = max(squad[:200], key=lambda q: len(q.context))
    runs = []
    for single in ({}, {2: 0.9}):
        answerer = replace(
            qa.answerer(qa.options(max_blocks=2)), policy=Thresholds(single, documents={1: 0.001, 4: 0.1})
        )
        runs += evaluate(answerer.able(), [question])
    dropped = [[r.dropped_after.tolist() for r in one.results] for one in runs]
    assert dropped[0] == dropped[1]


def test_a_bound_needs_a_predictor_for_documents(minilm_bundle):
    qa = QAPipeline(minilm_bundle)
    answerer = replace(qa.answerer(qa.options(max_blocks=2)), policy=Thresholds({2: 0.1}, documents={}))
    with pytest.raises(BundleError, match="thresholds for documents are 0"):
        answerer.able()


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "3", True])
def test_a_bound_that_is_none_is_refused(qa, wrong):
    with pytest.raises(InputError, match="max_blocks"):
        qa(question="Who?", context="Ada wrote it.", max_blocks=wrong)


def test_the_first_predictor_is_the_first_one_that_runs(minilm_bundle, articles):
    qa = QAPipeline(minilm_bundle)
    answerer = qa.answerer(qa.options(max_blocks=1))
    late = Thresholds({2: 0.0, 3: 0.001})
    (one,) = evaluate(replace(answerer, policy=late), articles[:1])
    left = [r.dropped_after for r in one.results if r.earlier is None]
    assert left
    assert all((d == 3).all() for d in left)
