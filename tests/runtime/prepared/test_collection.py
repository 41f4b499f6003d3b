"""In which windows a question reads the blocks that were chosen for it."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bskim_export.errors import InputError
from bskim_export.runtime.asked import Passage
from bskim_export.runtime.prepared.collection import OVERLAP, Collection
from bskim_export.runtime.prepared.lower import Question
from bskim_export.runtime.prepared.prepared import Prepared, join

SIZE = 4
MODEL = SimpleNamespace(block_size=SIZE, pad_token_id=0)


def prepared(*tokens: int, names: bool = False, identity: str = "same") -> Prepared:
    """Return passages of so many tokens; a block's states and features are its number."""
    count = sum(-(-n // SIZE) for n in tokens)
    number = np.arange(count, dtype=np.float32)
    return Prepared(
        identity,
        [Passage("a " * n) for n in tokens],
        np.array(tokens, np.int64),
        np.broadcast_to(number[:, None, None], (count, SIZE, 2)).astype(np.float16),
        number.reshape(count, 1, 1),
        np.zeros((count, SIZE, 2), np.int32),
        np.zeros((count, SIZE), np.int32),
        names=[f"document {i}" for i in range(len(tokens))] if names else [],
    )


def question(blocks: int = 1) -> Question:
    ids = np.arange(1, 1 + blocks * SIZE - 1)
    return Question(ids, np.full((blocks, SIZE, 2), -1, np.float32), np.ones((len(ids), 1), np.float32))


def read(collection, max_blocks, most, question=None, max_windows=1000, usual=None):
    split = SimpleNamespace(max_blocks=usual or most, window_blocks=most)
    return collection.readings(question or globals()["question"](), split, MODEL, max_blocks, max_windows)


LENGTHS = st.lists(st.integers(0, 90), min_size=1, max_size=6).filter(any)


@given(LENGTHS, st.lists(st.integers(1, 3), max_size=3), st.integers(1, 120), st.integers(1, 16))
def test_every_chosen_block_is_in_a_window_and_no_window_has_too_many(tokens, cuts, max_blocks, most):
    parts = [prepared(*tokens), *(prepared(*([5] * n)) for n in cuts)]
    collection = Collection(parts, "same")
    readings = read(collection, max_blocks, most)
    budget = max(max_blocks, 3)
    blocks = [reading.blocks.tolist() for reading in readings]
    assert all(one == sorted(set(one)) and 1 <= len(one) <= max(most, 1) for one in blocks)
    assert len({b for one in blocks for b in one}) <= budget
    if max_blocks >= len(collection):
        assert {b for one in blocks for b in one} == set(range(len(collection)))
    for one, following in pairwise(blocks):
        assert one[0] < following[0]
        assert len(set(one) & set(following)) <= OVERLAP
    assert sum(reading.best is not None for reading in readings) >= 1


def test_a_stretch_of_several_windows_overlaps():
    readings = read(Collection([prepared(30 * SIZE)], "same"), 100, 14)
    assert [(r.blocks[0], r.blocks[-1]) for r in readings] == [(0, 13), (12, 25), (24, 29)]


@pytest.mark.parametrize(("usual", "blocks", "windows"), [(5, 5, 1), (14, 14, 1), (20, 20, 2)])
def test_a_bundle_says_how_many_are_read_whatever_a_window_holds(usual, blocks, windows):
    readings = read(Collection([prepared(30 * SIZE)], "same"), None, 14, usual=usual)
    assert len(readings) == windows
    assert blocks - 2 <= len({n for one in readings for n in one.blocks.tolist()}) <= blocks


def test_a_window_holds_question_and_blocks_with_their_states_and_tokens():
    collection = Collection([prepared(9, 2), prepared(5)], "same")
    assert collection.passage.tolist() == [0, 0, 0, 1, 2, 2]
    (reading,) = read(collection, None, 14, question(2))
    window = reading.window
    assert (window.question_length, window.question_blocks, len(window.input_ids)) == (7, 2, 8 * SIZE)
    assert window.states[:, 0, 0].tolist() == [-1, -1, 0, 1, 2, 3, 0, 1]
    tokens = window.is_token.reshape(-1, SIZE).sum(1).tolist()
    assert tokens == [4, 3, 4, 4, 1, 2, 4, 1]
    assert reading.best == 2 + 3  # the fourth has the largest features


def test_blocks_and_passages_are_numbered_through():
    collection = Collection([prepared(0, 9, names=True), prepared(5, names=True)], "same")
    assert len(collection) == 5
    assert [collection.part_of(i)[1] for i in range(3)] == [0, 1, 0]
    assert [collection.place(i)[1] for i in range(5)] == [0, 1, 2, 0, 1]


def test_too_many_windows_are_refused_before_their_states_are_read():
    collection = Collection([prepared(100 * SIZE)], "same")
    assert len(read(collection, 100, 14, max_windows=9)) == 9
    with pytest.raises(
        InputError, match=r"The 100 blocks that max_blocks allows make 9 windows, more than max_windows 8"
    ):
        read(collection, 100, 14, max_windows=8)


def test_what_another_model_prepared_is_refused_and_so_is_nothing():
    with pytest.raises(InputError, match="made by another model"):
        Collection([prepared(5), prepared(5, identity="other")], "same")
    with pytest.raises(InputError, match="`prepared` cannot be empty"):
        Collection([], "same")


@given(LENGTHS, st.data())
def test_some_passages_of_some_are_those_passages(tokens, data):
    whole = prepared(*tokens, names=True)
    numbers = data.draw(st.lists(st.integers(0, len(tokens) - 1), min_size=1, unique=True))
    some = whole.only(numbers)
    assert some.names == [f"document {i}" for i in numbers]
    assert some.tokens.tolist() == [tokens[i] for i in numbers]
    assert some.states[:, 0, 0].tolist() == [b for i in numbers for b in range(whole.first[i], whole.first[i + 1])]
    assert join([whole.only([i]) for i in numbers]).states.tolist() == some.states.tolist()
    assert join([whole, some]).names == whole.names + some.names
