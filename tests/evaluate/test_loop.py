from dataclasses import replace

import numpy as np
import pytest
from tokenizers import Tokenizer

from bskim_export import QAPipeline
from bskim_export.blocks import KEPT
from bskim_export.bundle.manifest import Model
from bskim_export.data.metrics import exact_match, f1
from bskim_export.data.question import Question, sample
from bskim_export.errors import InputError
from bskim_export.evaluate.loop import cut_windows, evaluate, kept_blocks, padded_macs
from bskim_export.evaluate.macs import dense_macs, window_macs
from bskim_export.runtime.answering import Answerer
from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.policy import Thresholds
from bskim_export.runtime.runner import WindowResult
from bskim_export.runtime.windows import WindowMaker

THRESHOLD = 0.9
MODEL = Model("bert", "", 2, 32, 64, 4, 8, 32, 2, 32, 384, 0, 101, 0)


@pytest.fixture(scope="module")
def skimming(minilm_bundle) -> Answerer:
    """The trained model, skimming much in short windows: some leave."""
    qa = QAPipeline(minilm_bundle, threshold=THRESHOLD)
    return qa.answerer(qa.options(max_seq_len=128, doc_stride=48))


@pytest.fixture(scope="module")
def questions(squad, skimming) -> list[Question]:
    """Questions of which every other one ends with a block: then its first window may leave too, and it runs again."""
    found = sample(squad, 14, seed=31)
    for i in range(0, len(found), 2):
        while skimming.windows(found[i].question, found[i].context)[0].question_length % 32:
            found[i] = replace(found[i], question=found[i].question + " please")
    return found


@pytest.fixture(scope="module")
def done(skimming, questions):
    return list(evaluate(skimming, questions))


class FixedRunner:
    """Is sure of the null answer, [CLS], or of the passage token that follows the question."""

    model = MODEL
    skim_layers = ()

    alone = False

    def __init__(self, null: bool):
        self.null = null

    def run(self, windows, policy, protected=None):
        results = []
        for window in windows:
            logits = np.zeros(len(window.input_ids), np.float32)
            logits[0 if self.null else window.question_length] = 20
            results.append(WindowResult(logits, logits, np.full(len(logits) // 32, KEPT, np.int16)))
        return results


@pytest.fixture
def fixed(wordpiece):
    """Return a function: whether the model is sure of the null answer, whether that may be given -> an answerer."""
    maker = WindowMaker(Tokenizer.from_str(wordpiece), MODEL)

    def make(null: bool, allowed: bool) -> Answerer:
        options = RunOptions.of_length(128).allowing_null(allowed)
        return Answerer(maker, FixedRunner(null), Thresholds({}), options)

    return make


@pytest.mark.parametrize("together", [1, 3, 64])
@pytest.mark.parametrize("batch_size", [1, 8])
def test_answers_macs_and_kept_blocks_are_the_same_whatever_runs_together(
    skimming, questions, done, together, batch_size
):
    options = replace(skimming.options, batch_size=batch_size)
    other = list(evaluate(replace(skimming, options=options), questions, together=together))
    assert [d.question for d in other] == questions
    for mine, his in zip(done, other, strict=True):
        assert (his.text, his.em, his.f1, his.macs) == (mine.text, mine.em, mine.f1, mine.macs)
        assert his.kept.tolist() == mine.kept.tolist()
        for a, b in zip(mine.results, his.results, strict=True):
            assert (a.left, a.best_block) == (b.left, b.best_block)
            assert a.dropped_after.tolist() == b.dropped_after.tolist()


def test_windows_left_and_questions_ran_again(done):
    """The test above can fail: what depends on other windows of a question happens here."""
    results = [r for d in done for r in d.results]
    assert any(r.left for r in results)
    assert any(r.earlier for r in results)


def test_each_question_has_the_answer_that_the_pipeline_gives_alone(skimming, questions, done, minilm_bundle):
    qa = QAPipeline(minilm_bundle, threshold=THRESHOLD)
    for question, one in zip(questions, done, strict=True):
        alone = qa(question=question.question, context=question.context, max_seq_len=128, doc_stride=48)
        assert one.text == alone["answer"]
        assert one.answers[0]["score"] == pytest.approx(alone["score"], abs=1e-4)


def test_scores_and_costs_are_those_of_each_question(skimming, done):
    model = skimming.runner.model
    for one in done:
        assert one.em == exact_match(one.text, one.question.gold)
        assert one.f1 == f1(one.text, one.question.gold)
        assert one.blocks == sum(len(w.input_ids) for w in one.windows) // 32
        assert one.macs == sum(
            window_macs(model, r, w.unjudged_blocks, range(6)) for w, r in zip(one.windows, one.results, strict=True)
        )
        assert one.seconds > 0
        assert padded_macs(one, skimming) == len(one.windows) * dense_macs(model, 512)
        assert padded_macs(one, skimming, 384) == len(one.windows) * dense_macs(model, 384)


def test_a_second_run_counts_in_the_macs_and_replaces_the_first_in_the_kept_blocks(done):
    one = next(d for d in done if any(r.earlier for r in d.results))
    (again,) = [r for r in one.results if r.earlier]
    assert all(r.left for r in one.results if r is not again)
    assert one.kept[-1] == (again.dropped_after == KEPT).sum() > 0


def test_a_layer_keeps_what_is_dropped_after_a_later_one():
    none = np.zeros(0, np.float32)
    results = [WindowResult(none, none, np.array(d, np.int16)) for d in ([KEPT, 0, 2], [1, KEPT])]
    assert kept_blocks(results, 4).tolist() == [4, 3, 2, 2]


def test_progress_is_told_once_per_part(fixed, questions):
    progress = []
    assert len(list(evaluate(fixed(False, False), questions, progress.append, together=6))) == 14
    assert progress == [6, 6, 2]


def test_nothing_to_answer_is_no_error(fixed):
    assert list(evaluate(fixed(False, False), [])) == []


NO_ANSWER = Question("none", "Who wrote it?", "Ada wrote it.", (), ())
ANSWER = Question("some", "Who wrote it?", "Ada wrote it.", ("Ada",), (0,))


@pytest.mark.parametrize(
    ("null", "allowed", "text", "scores"),
    [
        # SQuAD 2.0's definition: without an answer, the empty one is right
        (True, True, "", [1, 0]),
        (False, True, "Ada", [0, 1]),
        # SQuAD 1.1's: without a gold answer nothing is right
        (False, False, "Ada", [0, 1]),
        (True, False, "Ada", [0, 1]),
    ],
)
def test_answers_are_scored_as_squad_2_does_where_the_null_answer_is_allowed(fixed, null, allowed, text, scores):
    done = list(evaluate(fixed(null, allowed), [NO_ANSWER, ANSWER]))
    if not (null and not allowed):
        assert [d.text for d in done] == [text, text]
        assert [d.em for d in done] == [d.f1 for d in done] == scores
    else:
        assert all(d.text for d in done)
        assert done[0].em == 0


def test_partly_right_answers_get_part_of_the_f1(fixed):
    gold = Question("part", "Who wrote it?", "Ada wrote it.", ("Ada wrote",), (0,))
    (done,) = evaluate(fixed(False, True), [gold])
    assert (done.em, done.f1) == (0, pytest.approx(2 / 3))


@pytest.mark.parametrize(("question", "context"), [("?", " "), ("", "Ada wrote it."), ("word " * 200, "Ada wrote it.")])
def test_a_question_that_cannot_be_run_is_named_by_its_id(fixed, question, context):
    broken = Question("q/17", question, context, (), ())
    with pytest.raises(InputError, match=r"^Question 'q/17': "):
        list(evaluate(fixed(False, False), [ANSWER, broken]))
    with pytest.raises(InputError, match=r"^Question 'q/17': "):
        cut_windows(fixed(False, False), broken)
