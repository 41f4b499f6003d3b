"""The truths that everything else rests on, through export and runtime: exactness and batch invariance."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import FAMILIES, usual, windows_of, without_ties

from bskim_export import QAPipeline
from bskim_export.blocks import KEPT
from bskim_export.data.documents import some_of_each, whole_articles
from bskim_export.data.question import sample
from bskim_export.evaluate.loop import evaluate
from bskim_export.export.torch_reference import TorchReference, torch_inputs
from bskim_export.runtime.policy import KeepSchedule, Thresholds

GROUPINGS = [
    *((family, (0, 1, 2), "diagonal") for family in FAMILIES),
    *((family, (0, 1, 2), "question") for family in ("albert", "electra", "roberta")),
    ("bert", (1,), "diagonal"),
    ("bert", (0, 2), "question"),
    ("albert of two groups", (1,), "diagonal"),
]


@pytest.mark.parametrize("family", usual(FAMILIES))
def test_threshold_zero_gives_hugging_faces_own_logits(family, tiny, tiny_bundle, squad):
    checkpoint = tiny(family)
    qa = QAPipeline(tiny_bundle(family), threshold=0)
    for window in windows_of(checkpoint, sample(squad, 5, seed=2)):
        input_ids, attention_mask, token_type_ids, _ = (t[None] for t in torch_inputs(window))
        with torch.no_grad():
            theirs = checkpoint.model.backbone(
                input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
            )
        ours = qa.runner.run([window], qa.policy)[0]
        real = slice(0, window.length)
        np.testing.assert_allclose(ours.start_logits[real], theirs.start_logits[0, real], atol=1e-4)
        np.testing.assert_allclose(ours.end_logits[real], theirs.end_logits[0, real], atol=1e-4)


@pytest.mark.parametrize("model", usual(GROUPINGS))
def test_stages_with_nothing_dropped_give_the_dense_graphs_logits(model, tiny, tiny_bundle, squad):
    qa = QAPipeline(tiny_bundle(*model))
    windows = windows_of(tiny(*model), sample(squad, 6, seed=3))
    staged = qa.runner.run(windows, KeepSchedule([1.0]))
    dense = qa.runner.run(windows, None)
    for a, b, window in zip(staged, dense, windows, strict=True):
        real = slice(0, window.length)
        np.testing.assert_allclose(a.start_logits[real], b.start_logits[real], atol=1e-4)
        np.testing.assert_allclose(a.end_logits[real], b.end_logits[real], atol=1e-4)


@pytest.mark.parametrize("model", usual(GROUPINGS))
def test_skimming_gives_what_pytorch_gives_with_true_removal(model, tiny, tiny_bundle, squad):
    checkpoint = tiny(*model)
    qa = QAPipeline(tiny_bundle(*model))
    reference = TorchReference(checkpoint.model, qa.bundle.model)
    windows = without_ties(windows_of(checkpoint, sample(squad, 12, seed=4)), qa)
    dropped = 0
    for window, ours in zip(windows, qa.runner.run(windows, qa.policy), strict=True):
        theirs = reference.run([window], qa.policy)[0]
        np.testing.assert_array_equal(ours.dropped_after, theirs.dropped_after)
        assert (ours.left, ours.best_block) == (theirs.left, theirs.best_block)
        kept = np.isfinite(theirs.start_logits)
        assert not np.isfinite(ours.start_logits[~kept]).any()
        kept[window.length :] = False  # what padding gets means nothing
        np.testing.assert_allclose(ours.start_logits[kept], theirs.start_logits[kept], atol=1e-4)
        np.testing.assert_allclose(ours.end_logits[kept], theirs.end_logits[kept], atol=1e-4)
        dropped += int((ours.dropped_after != KEPT).sum())
    assert dropped > len(windows)


@pytest.fixture(scope="module", params=usual([*((f, "diagonal") for f in FAMILIES), ("bert", "question")]))
def ragged(request, tiny, tiny_bundle, squad):
    """A family's pipeline, and windows of many lengths for it."""
    family, predictor = request.param
    model = (family, (0, 1, 2), predictor)
    return QAPipeline(tiny_bundle(*model)), windows_of(tiny(*model), sample(squad, 20, seed=5), max_seq_len=192)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.integers(0, 23), min_size=1, max_size=9),
    st.floats(0.05, 0.95),
    st.booleans(),
)
def test_a_window_does_not_depend_on_its_batch(ragged, places, quantile, protect):
    qa, pool = ragged
    windows = [pool[i % len(pool)] for i in places]
    policy = Thresholds({layer: t * (0.5 + quantile) if t < 0.6 else t for layer, t in qa.policy.by_layer.items()})
    protected = [w.question_blocks if protect and len(w.input_ids) > 32 * w.question_blocks else None for w in windows]
    together = qa.runner.run(windows, policy, protected)
    for window, block, mine in zip(windows, protected, together, strict=True):
        alone = qa.runner.run([window], policy, [block])[0]
        np.testing.assert_array_equal(mine.dropped_after, alone.dropped_after)
        assert (mine.left, mine.best_block) == (alone.left, alone.best_block)
        kept = np.isfinite(alone.start_logits)
        np.testing.assert_allclose(mine.start_logits[kept], alone.start_logits[kept], atol=1e-5)


def test_question_blocks_and_protected_blocks_stay_whatever_the_scores(tiny, tiny_bundle, squad):
    qa = QAPipeline(tiny_bundle())
    windows = windows_of(tiny(), sample(squad, 10, seed=6))
    windows = [w for w in windows if len(w.input_ids) // 32 > w.question_blocks + 1]
    protected = [w.question_blocks + 1 for w in windows]
    results = qa.runner.run(windows, Thresholds(dict.fromkeys(range(3), 1.0)), protected)
    for window, block, result in zip(windows, protected, results, strict=True):
        assert (result.dropped_after[: window.question_blocks] == KEPT).all()
        assert result.dropped_after[block] == KEPT
        assert (np.delete(result.dropped_after, [*range(window.question_blocks), block]) == 0).all()


def test_a_window_in_which_all_is_refused_leaves_and_the_only_one_of_a_question_does_not(tiny, tiny_bundle, squad):
    qa = QAPipeline(tiny_bundle())
    question = max(sample(squad, 200, seed=7), key=lambda q: len(q.context))
    windows = qa.maker(question.question, question.context, 128, 64)
    assert len(windows) > 2
    results = qa.runner.run(windows, Thresholds(dict.fromkeys(range(3), 1.0)))
    assert windows[0].judge_shared
    assert all(r.left and (r.dropped_after == 0).all() for r in results)
    assert all(0 < r.best_score < 1 for r in results)
    assert all(r.best_block >= w.unjudged_blocks for r, w in zip(results, windows, strict=True))
    (alone,) = qa.maker(question.question, question.context[:300], 384, 64)
    (stays,) = qa.runner.run([alone], Thresholds(dict.fromkeys(range(3), 1.0)))
    assert not stays.left
    assert (stays.dropped_after[: alone.question_blocks] == KEPT).all()


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 8, 32])
@pytest.mark.parametrize("documents", [False, True])
def test_a_thousand_windows_get_the_same_blocks_and_answers_in_any_batch(minilm_qa, documents, batch_size, squad):
    """1,000 questions of a passage each, or 34 of whole articles: about as many windows."""
    questions = sample(some_of_each(whole_articles(squad)), 34) if documents else sample(squad, 1000)
    order = np.random.default_rng(0).permutation(len(questions)).tolist()
    usual = minilm_qa.answerer(minilm_qa.options(batch_size=8))
    other = minilm_qa.answerer(minilm_qa.options(batch_size=batch_size))
    expected = list(evaluate(usual, questions))
    shuffled = evaluate(other, [questions[i] for i in order], together=len(questions))
    windows = 0
    blocks = 0
    answers = 0
    for i, mine in zip(order, shuffled, strict=True):
        pairs = zip(mine.results, expected[i].results, strict=True)
        blocks += sum(int((a.dropped_after != b.dropped_after).sum()) for a, b in pairs)
        answers += mine.text != expected[i].text
        windows += len(mine.windows)
    print(
        f"batch {batch_size}, shuffled, {windows} windows: {blocks} blocks and {answers} of {len(questions)} answers "
        "differ"
    )
    assert windows > 900
    assert blocks == answers == 0
