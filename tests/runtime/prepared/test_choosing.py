"""Which blocks a question reads."""

from itertools import pairwise

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from bskim_export.model.retrieval import match
from bskim_export.runtime.prepared import choosing
from bskim_export.runtime.prepared.choosing import choose_blocks, runs, score_blocks

SCORES = st.lists(st.integers(-3, 3), min_size=1, max_size=60)
"""Few numbers, so that many are equal."""


@st.composite
def scored(draw):
    """Scores of blocks, and the passage of each."""
    scores = np.array(draw(SCORES), np.float32)
    steps = draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)))
    return scores, np.cumsum(steps).astype(np.int64)


def beside(block, passage):
    return [n for n in (block - 1, block + 1) if 0 <= n < len(passage) and passage[n] == passage[block]]


@given(scored(), st.integers(1, 70))
def test_the_best_blocks_are_read_with_their_neighbours_and_no_more_than_allowed(drawn, budget):
    scores, passage = drawn
    chosen = choose_blocks(scores, passage, budget).tolist()
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= set(range(len(scores)))
    best = int(scores.argmax())
    assert {best, *beside(best, passage)} <= set(chosen) or budget >= len(scores)
    assert len(chosen) <= max(budget, 1 + len(beside(best, passage)))
    if budget >= len(scores):
        assert chosen == list(range(len(scores)))
    for block in chosen:  # of a passage of several blocks none is read alone
        assert not beside(block, passage) or set(beside(block, passage)) & set(chosen)


@given(scored(), st.integers(3, 70))
def test_what_is_not_read_would_have_been_too_much(drawn, budget):
    """Of the blocks that are better than all that are read as neighbours only, none fits any more."""
    scores, passage = drawn
    chosen = set(choose_blocks(scores, passage, budget).tolist())
    ranked = np.argsort(-scores, kind="stable")[:budget].tolist()
    for block in ranked:
        if block not in chosen:
            assert len(chosen | {block, *beside(block, passage)}) > budget


@given(scored(), st.data())
def test_runs_are_the_chosen_blocks_without_gaps_each_of_one_passage(drawn, data):
    _, passage = drawn
    chosen = sorted(data.draw(st.sets(st.integers(0, len(passage) - 1))))
    found = runs(chosen, passage)
    assert [block for one in found for block in one] == chosen
    for one in found:
        assert len(set(passage[one.start : one.stop])) == 1
    for one, following in pairwise(found):
        assert one.stop < following.start or passage[one.stop - 1] != passage[following.start]


def test_scores_are_those_that_the_model_was_trained_with(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn((1, 9, 16), generator=generator)
    for count in (1, 7, 40):
        features = torch.randn((count, 8, 16), generator=generator)
        expected = match(queries, features)[0].numpy()
        for chunk in (1, 16, 2048):
            monkeypatch.setattr(choosing, "CHUNK", chunk)
            np.testing.assert_allclose(score_blocks(queries[0].numpy(), features.numpy()), expected, atol=1e-5)
    assert len(score_blocks(queries[0].numpy(), np.zeros((0, 8, 16), np.float32))) == 0
