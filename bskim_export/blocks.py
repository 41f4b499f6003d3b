"""Block arithmetic: how packed blocks map to windows and to the attention grid. NumPy only.

A batch holds N live blocks of `block_size` positions, those of one window next to each other and windows in order.
Per-token work runs on these N packed blocks. Attention runs on a grid of B windows by M blocks (M is the largest
count of live blocks in a window), whose cell (b, m) has the number b * M + m.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

MASKED = np.float32(-1e4)
"""Additive attention mask of a position that must not be attended to. Not the least float: fp16 must hold it."""

KEPT = int(np.iinfo(np.int16).max)
"""Stands for "never dropped" wherever a layer number says after which layer a block was dropped: later than any."""


def count_blocks(length: int, block_size: int) -> int:
    """Return how many blocks hold `length` positions."""
    return -(-length // block_size)


def count_question_blocks(question_length: int, block_size: int) -> int:
    """Return how many leading blocks hold a token of the first segment ([CLS] question [SEP]): these always stay."""
    return count_blocks(question_length, block_size)


@dataclass(frozen=True)
class Grid:
    """The places of packed blocks in the attention grid.

    table: int64 [B, M], the packed index of each cell's block (0 for an empty cell)
    back:  int64 [N], the cell of each packed block
    mask:  float32 [B, M * block_size], additive: 0 for a real token, MASKED for padding and empty cells
    """

    table: Ints
    back: Ints
    mask: Floats


def runs(values: Ints) -> tuple[Ints, Ints]:
    """Return where each run of equal values begins, and its length.

    Args:
        values: int64 [N], N at least 1

    Returns:
        int64 [R] and int64 [R], one entry per run

    Example:
        >>> [r.tolist() for r in runs(np.array([4, 4, 7]))]
        [[0, 2], [2, 1]]
    """
    bounds = np.concatenate(([0], np.flatnonzero(values[1:] != values[:-1]) + 1, [len(values)]))
    return bounds[:-1], bounds[1:] - bounds[:-1]


def build_grid(window: Ints, block_mask: Floats) -> Grid:
    """Lay packed blocks out on the attention grid.

    Args:
        window: int64 [N], non-decreasing: the window that each packed block belongs to. Gaps are fine.
        block_mask: float32 [N, block_size], the additive mask of each block's positions.

    Example:
        >>> g = build_grid(np.array([0, 0, 3]), np.zeros((3, 2), np.float32))
        >>> g.table.tolist(), g.back.tolist(), g.mask.tolist()
        ([[0, 1], [2, 0]], [0, 1, 2], [[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, -10000.0, -10000.0]])
    """
    n, block_size = block_mask.shape
    # The grid has a row for each window that is there, and is as wide as the window of most blocks.
    first, counts = runs(window)
    rows = len(first)
    width = int(counts.max())
    # A window's blocks fill its row from the left, in their order.
    row = np.repeat(np.arange(rows), counts)
    back = row * width + np.arange(n) - first[row]
    # The same the other way round. Empty cells keep 0, the number of a block that exists; the mask hides them.
    table = np.zeros(rows * width, np.int64)
    table[back] = np.arange(n)
    mask = np.full((rows * width, block_size), MASKED, np.float32)
    mask[back] = block_mask
    return Grid(table.reshape(rows, width), back, mask.reshape(rows, width * block_size))


def diagonal_rows(cells: Ints, grid: Grid, heads: int) -> Ints:
    """Return where the attention map holds the diagonal blocks of some cells.

    The map [B, heads, M * k, M * k] is seen as rows of k numbers: row r of block m of a head of window b is row
    ((b * heads + head) * M * k + m * k + r) * M + m.

    Args:
        cells: int64 [P]
        heads: attention heads

    Returns:
        int64 [P, heads, k]

    Example:
        >>> g = build_grid(np.array([0, 0]), np.zeros((2, 2), np.float32))  # one window, M = 2, k = 2
        >>> diagonal_rows(np.array([1]), g, 1).tolist()  # rows 2 and 3 of the 4 x 4 map, right halves
        [[[5, 7]]]
    """
    width = grid.table.shape[1]
    size = grid.mask.shape[1] // width
    per_head = width * size * width
    # The first row of a cell, in its window's first head: `block` * k rows down the map, each of M parts, and `block`
    # parts to the right.
    window, block = np.divmod(cells, width)
    origin = window * (heads * per_head) + block * (size * width + 1)
    # The others are as far from it in every cell: per_head for each head, M parts for each row of the map.
    offsets = (np.arange(heads) * per_head)[:, None] + np.arange(size) * width
    rows: Ints = origin[:, None, None] + offsets
    return rows


def question_cells(window: Ints, grid: Grid, block_mask: Floats, question: Bools) -> dict[str, Ints | Floats]:
    """Return where the grid holds the tokens of the questions, and those of the passages.

    Args:
        window, block_mask: as for build_grid; the question blocks of a window come first
        question: bool [N, block_size], tokens of the question

    Returns:
        asked: int64 [B, Q], the cells of each window's question blocks (its first cell where it has fewer than Q)
        question: float32 [B, Q * block_size], 1 for a token of the question
        passage: float32 [B, M * block_size], 1 for a token of the passage

    Example:
        >>> window, mask = np.array([0, 0, 3]), np.zeros((3, 2), np.float32)
        >>> asks = np.array([[True, True], [True, False], [True, False]])
        >>> found = question_cells(window, build_grid(window, mask), mask, asks)
        >>> found["asked"].tolist(), found["question"].tolist()
        ([[0, 1], [2, 2]], [[1.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
        >>> found["passage"].tolist()
        [[0.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0]]
    """
    size = block_mask.shape[1]
    rows, width = grid.table.shape
    # Each window's question blocks come first in its row, so that their number says which cells they are.
    first, _ = runs(window)
    counts = np.add.reduceat(question.any(1), first)
    column = np.arange(max(1, counts.max()))
    there = column < counts[:, None]
    asked = np.arange(rows)[:, None] * width + np.where(there, column, 0)
    # Lay both kinds of tokens out on the grid; a token of the passage is a real one that the question does not have.
    tokens = np.zeros((rows * width, size), np.float32)
    tokens[grid.back] = question
    passage = np.zeros((rows * width, size), np.float32)
    passage[grid.back] = (block_mask == 0) & ~question
    # `asked` repeats the first cell of a window that has fewer question blocks than others: no token counts twice.
    return {
        "asked": asked,
        "question": (tokens[asked] * there[..., None]).reshape(rows, -1),
        "passage": passage.reshape(rows, -1),
    }
