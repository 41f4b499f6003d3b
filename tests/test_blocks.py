import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bskim_export.blocks import MASKED, build_grid, count_blocks, count_question_blocks, diagonal_rows, runs


@st.composite
def layouts(draw):
    """Draw the window of each packed block, with gaps between windows, and the blocks' masks."""
    counts = draw(st.lists(st.integers(0, 5), min_size=1, max_size=5).filter(any))
    window = np.repeat(np.arange(len(counts)), counts)
    shape = (len(window), draw(st.integers(1, 4)))
    return window, draw(arrays(np.float32, shape, elements=st.sampled_from([0.0, float(MASKED)])))


@given(st.integers(0, 10_000), st.integers(1, 512))
def test_count_blocks_is_the_least_number_that_holds_the_length(length, block_size):
    blocks = count_blocks(length, block_size)
    assert (blocks - 1) * block_size < length <= blocks * block_size


@given(st.integers(0, 500), st.integers(1, 64))
def test_question_blocks_are_those_that_hold_a_question_token(length, block_size):
    assert count_question_blocks(length, block_size) == len({token // block_size for token in range(length)})


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_runs_rebuild_the_values_and_are_as_long_as_possible(values):
    values = np.array(values)
    first, lengths = runs(values)
    assert np.repeat(values[first], lengths).tolist() == values.tolist()
    assert first.tolist() == (np.cumsum(lengths) - lengths).tolist()
    assert np.diff(values[first]).all()


@given(layouts())
def test_table_undoes_back(layout):
    grid = build_grid(*layout)
    assert grid.table.flat[grid.back].tolist() == list(range(len(layout[0])))


@given(layouts())
def test_back_fills_each_row_from_the_left_with_one_window_in_order(layout):
    window, block_mask = layout
    grid = build_grid(window, block_mask)
    occupied = np.zeros(grid.table.shape, bool)
    occupied.flat[grid.back] = True
    present = np.unique(window)
    assert grid.table.shape == (len(present), max(np.bincount(window)))
    for row, w in enumerate(present):
        own = np.flatnonzero(window == w).tolist()
        assert grid.table[row, : len(own)].tolist() == own
        assert occupied[row].tolist() == [True] * len(own) + [False] * (occupied.shape[1] - len(own))


@given(layouts())
def test_empty_cells_point_to_a_block_that_exists(layout):
    grid = build_grid(*layout)
    empty = np.setdiff1d(np.arange(grid.table.size), grid.back)
    assert (grid.table.flat[empty] == 0).all()


@given(layouts())
def test_mask_is_each_blocks_own_and_hides_empty_cells(layout):
    window, block_mask = layout
    grid = build_grid(window, block_mask)
    by_cell = grid.mask.reshape(grid.table.size, -1)
    assert grid.mask.dtype == np.float32
    assert (by_cell[grid.back] == block_mask).all()
    assert (np.delete(by_cell, grid.back, axis=0) == MASKED).all()


def test_masked_is_held_by_half_precision_and_wipes_out_a_softmax():
    assert np.isfinite(np.float16(MASKED))
    assert np.exp(MASKED + np.float32(100)) == 0


@given(layouts(), st.integers(1, 3), st.data())
def test_diagonal_rows_point_to_the_diagonal_blocks_of_the_attention_map(layout, heads, data):
    window, block_mask = layout
    size = block_mask.shape[1]
    grid = build_grid(window, block_mask)
    windows, width = grid.table.shape
    cells = np.array(data.draw(st.lists(st.sampled_from(grid.back.tolist()), min_size=1, max_size=8)))
    side = width * size
    attention = np.random.default_rng(0).random((windows, heads, side, side))

    found = attention.reshape(-1, size)[diagonal_rows(cells, grid, heads)]

    assert found.shape == (len(cells), heads, size, size)
    for cell, diagonal in zip(cells, found, strict=True):
        b, m = divmod(int(cell), width)
        place = slice(m * size, (m + 1) * size)
        assert (diagonal == attention[b, :, place, place]).all()


@pytest.mark.parametrize(("heads", "width", "size"), [(12, 12, 32), (16, 16, 32)])
def test_diagonal_rows_agree_at_the_size_of_real_models(heads, width, size):
    window = np.repeat([0, 1], [width, width - 3])
    grid = build_grid(window, np.zeros((len(window), size), np.float32))
    rows = diagonal_rows(grid.back, grid, heads)
    # row numbers of the flat map, laid out as the map itself: [windows, heads, width, size, width]
    numbers = np.arange(2 * heads * width * size * width).reshape(2, heads, width, size, width)
    expected = np.stack([numbers[b, :, m, :, m] for b in (0, 1) for m in range(width - 3 * b)])
    assert rows.dtype == np.int64
    assert (rows == expected).all()
