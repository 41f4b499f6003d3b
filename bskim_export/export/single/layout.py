"""The packed blocks of a batch inside the graph: what `blocks` and `runtime.batch` compute on the host, as operators.

A batch is [B, K]: B windows of K blocks. `live` says which of them are there. All else follows from it.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from bskim_export.blocks import MASKED
from bskim_export.bundle.single_graph import LENGTH
from bskim_export.export.single.builder import Builder


@dataclass(frozen=True)
class Facts:
    """What is known of each window before anything ran.

    real: bool [B, K, k], tokens
    question: bool [B, K, k], those of the question
    """

    real: ir.Value
    question: ir.Value

    def mask(self, b: Builder) -> ir.Value:
        """Return float32 [B * K, k]: 0 for tokens, else MASKED."""
        return self._by_block(b, b.op("Where", self.real, np.float32(0), np.float32(MASKED)))

    def tokens(self, b: Builder) -> ir.Value:
        """Return int64 [B * K], how many tokens each block has."""
        return b.flat(b.op("ReduceSum", b.number(self.real), np.array([2]), keepdims=0))

    def passage(self, b: Builder) -> ir.Value:
        """Return float32 [B * K, k]: 1 for tokens of the passage."""
        found = b.op("And", self.real, b.op("Not", self.question))
        return self._by_block(b, b.op("Cast", found, to=ir.DataType.FLOAT))

    def _by_block(self, b: Builder, tokens: ir.Value) -> ir.Value:
        size = b.op("Shape", self.real, start=2, end=3)
        return b.op("Reshape", tokens, b.shape(-1, size))

    def question_blocks(self, b: Builder) -> ir.Value:
        """Return int64 [B], how many leading blocks hold a token of the question."""
        return b.op("ReduceSum", b.number(b.some(self.question)), np.array([1]), keepdims=0)

    def behind_question(self, b: Builder) -> ir.Value:
        """Return bool [B, K], the blocks behind those that hold a token of the question."""
        number = b.count_up(b.size(self.real, 1))
        return b.op("GreaterOrEqual", number, b.column(self.question_blocks(b)))

    def ends_inside(self, b: Builder) -> ir.Value:
        """Return bool [B], whether the question's last block holds tokens of the passage too."""
        passage = b.op("And", self.real, b.op("Not", self.question))
        return b.some(b.op("And", b.some(self.question), b.some(passage)))


@dataclass(frozen=True)
class Layout:
    """Where the live blocks are: N of them, in R windows that have any, on a grid of R rows and M columns.

    place: int64 [N], the number of each in the batch, of B * K
    back: int64 [N], the cell of each
    feeds: tensors that stages and predictors take, by their names in `bundle.tensors`
    """

    place: ir.Value
    back: ir.Value
    feeds: dict[str, ir.Value]


class Grid:
    """Lays out the live blocks of several windows; see `blocks.build_grid` and `question_cells`."""

    def __init__(self, b: Builder, facts: Facts, question_blocks: ir.Value, block_size: int):
        self._b = b
        self._facts = facts
        self._question_blocks = question_blocks
        self._block_size = block_size
        self._mask = facts.mask(b)
        self._passage = facts.passage(b)

    def still(self, live: ir.Value, place: ir.Value) -> ir.Value:
        """Return int64 [n], which of the blocks that stand at some places are live, bool [B, K]."""
        b = self._b
        return b.places(b.op("Gather", b.flat(live), place))

    def arrange(self, live: ir.Value) -> Layout:
        """Return where the live blocks are; at least one is."""
        b = self._b
        place = b.places(b.flat(live))
        number = b.number(live)
        counts = b.op("ReduceSum", number, np.array([1]), keepdims=0)  # [B]
        there = b.op("Greater", counts, 0)
        rows = b.op("Reshape", b.op("ReduceSum", b.number(there)), np.array([1]))
        width = b.op("Reshape", b.op("ReduceMax", counts), np.array([1]))

        # A window's live blocks fill its row from the left.
        row = b.op("Sub", b.op("CumSum", b.number(there), 0), 1)
        rank = b.op("Sub", b.op("CumSum", number, 1), 1)
        cells = b.flat(b.op("Add", b.op("Mul", b.column(row), width), rank))
        back = b.op("Gather", cells, place)
        size = b.op("Mul", rows, width)
        table = b.op("ScatterElements", b.filled(b.shape(size), np.array([0])), back, b.count_up(b.size(place, 0)))
        feeds = {"table": b.op("Reshape", table, b.shape(rows, width)), "back": back}

        # The tokens of its cells.
        grid = b.shape(size, self._block_size)
        by_row = b.shape(rows, -1)
        for name, of_blocks, empty in (("mask", self._mask, MASKED), ("passage", self._passage, 0)):
            there_are = b.op("Gather", of_blocks, place)
            laid = b.op("ScatterND", b.filled(grid, np.array([empty], np.float32)), b.column(back), there_are)
            feeds[name] = b.op("Reshape", laid, by_row)

        # The cells of the question blocks, which come first in their rows; the first cell where there are fewer.
        which = b.places(there)
        blocks = b.op("Gather", self._question_blocks, which)
        most = b.op("Max", b.op("Reshape", b.op("ReduceMax", blocks), np.array([1])), np.array([1]))
        order = b.count_up(most)
        first = b.column(b.op("Mul", b.count_up(rows), width))
        feeds["asked"] = b.op("Add", first, b.op("Where", b.op("Less", order, b.column(blocks)), order, 0))
        tokens = b.op("Slice", b.op("Gather", self._facts.question, which), np.array([0]), most, np.array([1]))
        feeds["question"] = b.op("Reshape", b.op("Cast", tokens, to=ir.DataType.FLOAT), by_row)
        return Layout(place, back, feeds)


class OneWindow:
    """Lays out the live blocks of one window, end to end: nothing is padded."""

    def __init__(self, b: Builder, facts: Facts, question_blocks: ir.Value, block_size: int):
        self._b = b
        self._mask = facts.mask(b)
        self._tokens = facts.tokens(b)
        self._passage = facts.passage(b)
        # Question blocks come first, and stay as long as the window does.
        most = b.op("Max", question_blocks, np.array([1]))
        tokens = b.op("Slice", facts.question, np.array([0]), most, np.array([1]))
        self._asked = {
            "asked": b.op("Unsqueeze", b.count_up(most), np.array([0])),
            "question": b.op("Reshape", b.op("Cast", tokens, to=ir.DataType.FLOAT), np.array([1, -1])),
        }

    def still(self, live: ir.Value, place: ir.Value) -> ir.Value:
        """Return int64 [n], which of the blocks that stand at some places are live, bool [1, K]."""
        return self._places(self._b.op("Gather", live, place, axis=1))

    def _places(self, blocks: ir.Value) -> ir.Value:
        return self._b.op("Gather", self._b.op("NonZero", blocks), 1)

    def arrange(self, live: ir.Value) -> Layout:
        """Return where the live blocks are; at least one is."""
        b = self._b
        place = self._places(live)
        back = b.count_up(b.size(place, 0))
        one_row = np.array([1, -1])
        feeds = self._asked | {
            "table": b.op("Unsqueeze", back, np.array([0])),
            "back": back,
            LENGTH.name: b.op("ReduceSum", b.op("Gather", self._tokens, place), keepdims=1),
            "mask": b.op("Reshape", b.op("Gather", self._mask, place), one_row),
            "passage": b.op("Reshape", b.op("Gather", self._passage, place), one_row),
        }
        return Layout(place, back, feeds)


def diagonal_rows(b: Builder, cells: ir.Value, table: ir.Value, heads: int, block_size: int) -> ir.Value:
    """Return int64 [P, heads, k], where the attention map holds the diagonal blocks; see `blocks.diagonal_rows`."""
    width = b.op("Max", b.size(table, 1), np.array([1]))  # of a window that has left, there are none
    per_head = b.op("Mul", b.op("Mul", width, width), block_size)
    window = b.op("Div", cells, width)
    block = b.op("Sub", cells, b.op("Mul", window, width))
    inside = b.op("Mul", block, b.op("Add", b.op("Mul", width, block_size), 1))
    origin = b.op("Add", b.op("Mul", window, b.op("Mul", per_head, heads)), inside)
    by_head = b.op("Mul", per_head, np.arange(heads)[:, None])
    by_row = b.op("Mul", width, np.arange(block_size))
    return b.op("Add", b.op("Unsqueeze", origin, np.array([1, 2])), b.op("Add", by_head, by_row))
