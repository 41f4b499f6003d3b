"""What is prepared, in fp16 and in int8."""

from dataclasses import replace

import numpy as np
import pytest

from bskim_export.data.question import sample
from bskim_export.runtime.prepared.prepared import Prepared, join


@pytest.fixture(scope="module")
def prepared(split_qa, squad) -> Prepared:
    return split_qa.prepare(passages=[q.context for q in sample(squad, 4, seed=11)])


def all_states(one: Prepared) -> np.ndarray:
    return np.stack([one.states_of(block) for block in range(len(one))])


def test_int8_states_are_within_half_a_step_of_each_token(prepared):
    small = prepared.to_int8()
    assert small.states.dtype == np.int8
    exact, found = all_states(prepared), all_states(small)
    assert found.dtype == np.float32
    step = np.abs(exact).max(-1, keepdims=True) / 127
    assert (np.abs(found - exact) <= step * 0.5001).all()
    assert (np.abs(small.states.astype(int)).max(-1) == 127).all()  # of each token, the whole range is used
    assert small.to_int8() is small
    assert prepared.states.dtype == np.float16


def test_a_token_without_any_state_stays_so(prepared):
    empty = replace(prepared, states=np.zeros_like(prepared.states))
    assert not all_states(empty.to_int8()).any()


def test_int8_halves_what_is_kept_but_for_features_and_places(prepared):
    small = prepared.to_int8()
    others = sum(a.nbytes for a in (prepared.features, prepared.offsets, prepared.words))
    assert small.nbytes - others - small.scales.nbytes == (prepared.nbytes - others) / 2


def test_int8_blocks_move_with_their_scales(prepared):
    small = prepared.to_int8()
    exact = all_states(small)
    (two,) = ([2, 0],)
    chosen = np.concatenate([np.arange(small.first[i], small.first[i + 1]) for i in two])
    np.testing.assert_array_equal(all_states(small.only(two)), exact[chosen])
    np.testing.assert_array_equal(all_states(join([small.only([0]), small.only([1, 2, 3])])), exact)


def test_questions_read_int8_states(split_qa, squad, prepared):
    questions = [q.question for q in sample(squad, 12, seed=12)]
    exact = split_qa(question=questions, prepared=prepared)
    found = split_qa(question=questions, prepared=prepared.to_int8())
    both = split_qa(question=questions, prepared=[prepared.only([0, 1]), prepared.to_int8().only([2, 3])])
    for one, other, mixed in zip(exact, found, both, strict=True):
        assert other["score"] == pytest.approx(one["score"], rel=0.2, abs=1e-3)
        assert mixed["score"] == pytest.approx(one["score"], rel=0.2, abs=1e-3)
