import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from bskim_export.blocks import KEPT
from bskim_export.checkpoint.loading import Checkpoint
from bskim_export.data.metrics import f1
from bskim_export.errors import InputError
from bskim_export.evaluate.retrieval import with_answer
from bskim_export.runtime.answering import Answerer
from bskim_export.runtime.asked import Passage
from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.policy import Thresholds
from bskim_export.runtime.prepared.asking import SplitAnswerer
from bskim_export.runtime.prepared.collection import Collection
from bskim_export.runtime.windows import WindowMaker
from bskim_export.training.split_evaluate import SplitEvaluation, as_documents, describe_split
from bskim_export.training.split_runner import SplitRunner, TorchLower

OPTIONS = RunOptions.of_length(128)


@pytest.fixture(scope="module")
def split(tiny) -> Checkpoint:
    whole = tiny("bert", (0, 1, 2), "question")
    model = copy.deepcopy(whole.model)
    torch.manual_seed(1)
    model.split(1, (1, 2))
    return Checkpoint(model.eval(), whole.tokenizer, "split")


@pytest.fixture(scope="module")
def maker(split) -> WindowMaker:
    return WindowMaker(Tokenizer.from_str(split.tokenizer), split.describe())


@pytest.fixture(scope="module")
def answerer(split, maker) -> SplitAnswerer:
    upper = Answerer(maker, SplitRunner(split.model, maker.model), None, OPTIONS)
    lower = TorchLower(split.model, maker.model)
    return SplitAnswerer(maker.tokenizer, describe_split(split.model, maker.model), "test", lower, upper)


@pytest.fixture(scope="module")
def questions(squad):
    """Of 12 paragraphs of two articles."""
    second = next(q.title for q in squad if q.title != squad[0].title)
    paragraphs = [list(dict.fromkeys(q.context for q in squad if q.title == t))[:6] for t in (squad[0].title, second)]
    return [q for q in squad if q.context in {*paragraphs[0], *paragraphs[1]}][::2]


def test_a_window_gets_the_reference_s_logits_in_any_batch(split, answerer, questions):
    done = answerer.ask(
        [(q.question, Collection([answerer.prepare([Passage(q.context)], False)], "test")) for q in questions[::6]]
    )
    windows = [reading.window for one in done for reading in one.readings]
    assert len({len(window.input_ids) for window in windows}) > 1
    for window, result in zip(windows, answerer.upper.runner.run(windows, None), strict=True):
        states = torch.from_numpy(window.states).flatten(0, 1)
        question = torch.arange(len(states)) < window.question_length
        stays = torch.ones(len(window.states)).bool()
        out = split.model.reference_from(states, torch.from_numpy(window.is_token), question, stays, {1: 0.5, 2: 0.5})
        there = window.is_token
        np.testing.assert_allclose(result.start_logits[there], out.start_logits.numpy()[there], atol=1e-4)
        np.testing.assert_allclose(result.end_logits[there], out.end_logits.numpy()[there], atol=1e-4)
        assert (result.dropped_after == KEPT).all()
        for layer, judged in result.skim_logits.items():
            keep = judged.softmax(-1)[:, 1]
            for block in range(window.question_blocks, len(stays)):
                assert float(keep[block]) == pytest.approx(out.scores[layer][block], abs=1e-3)


def test_it_takes_no_policy_and_no_window_of_tokens(answerer, maker, questions):
    runner = answerer.upper.runner
    (window, *_) = maker(questions[0].question, questions[0].context, 128, 32)
    with pytest.raises(InputError, match="takes no policy"):
        runner.run([window], Thresholds({1: 0.5}))
    with pytest.raises(InputError, match="states of prepared passages"):
        runner.run([window], None)


def test_paragraphs_become_documents_of_like_length_and_answers_move_with_them(questions):
    documents = as_documents(questions[::-1], 5)
    assert [len({q.title for q in one}) for one in documents] == [1, 2, 1]
    assert [len(one[0].context.split("\n\n")) for one in documents] == [4, 4, 4]
    assert sorted(q.id for one in documents for q in one) == sorted(q.id for q in questions)
    for one in documents:
        assert len({q.context for q in one}) == 1
        for q in one:
            found = [q.context[s : s + len(a)] for a, s in zip(q.answers, q.starts, strict=True)]
            assert found == list(q.answers)


def test_the_figures_are_those_of_answers_from_prepared_documents(split, maker, answerer, questions):
    found = SplitEvaluation(questions, maker, OPTIONS)(split.model)
    (document,) = as_documents(questions)
    collection = Collection([answerer.prepare([Passage(document[0].context)], False)], "test")
    done = answerer.ask([(q.question, collection) for q in document])
    scores = [100 * f1(one.answers()[0]["answer"], q.gold) for one, q in zip(done, document, strict=True)]
    assert found["f1"] == pytest.approx(np.mean(scores))
    assert found["predictors"].keys() == {1, 2}

    # Where its answer is among the blocks of its document, best first.
    ranks = []
    for question in document:
        positive = with_answer(collection, question)
        (known,) = answerer.lower.ask([next(one.ids for one in done if one.question == question.question)])
        order = (-collection.scores(known)).argsort(kind="stable")
        ranks.append(int(positive[order].argmax()))
        text = "".join(maker.tokenizer.normalizer.normalize_str(question.answers[0]).split())
        assert any(text in "".join(t.split()) for t in texts_of(collection, positive, maker.tokenizer))
    assert found["retrieved"] == {k: np.mean([rank < k for rank in ranks]) for k in (4, 16)}
    assert 0 < found["retrieved"][16] < 1


def texts_of(collection, positive, tokenizer) -> list[str]:
    """Return the text of each stretch of blocks with an answer."""
    (document,) = collection.parts
    text = document.passages[0].whole
    spans = []
    for block in np.flatnonzero(positive):
        offsets = document.offsets[block][document.is_token(block)]
        if spans and spans[-1][2] == block - 1:
            spans[-1] = (spans[-1][0], offsets[-1, 1], block)
        else:
            spans.append((offsets[0, 0], offsets[-1, 1], block))
    return [tokenizer.normalizer.normalize_str(text[a:b]) for a, b, _ in spans]


def test_questions_without_an_answer_are_scored_by_their_parts(split, maker, questions):
    some = [replace(q, answers=(), starts=(), accepted=()) if i < 3 else q for i, q in enumerate(questions)]
    found = SplitEvaluation(some, maker, OPTIONS)(split.model)
    assert found["no_answer"]["questions"] == 3
    none = SplitEvaluation([replace(q, answers=(), starts=(), accepted=()) for q in some], maker, OPTIONS)(split.model)
    assert none["retrieved"] == {}


def test_a_question_that_cannot_be_run_is_named(split, maker, questions):
    long = replace(questions[0], id="long", question="why " * 500)
    with pytest.raises(InputError, match="Question 'long': The question has 502 tokens"):
        SplitEvaluation([long], maker, OPTIONS)(split.model)
