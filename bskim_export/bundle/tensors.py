"""Every tensor that crosses between the graphs and the host: the one table of names, types, axes and meanings.

ONNX dimension names, optimization profiles, example inputs of the exporter, the types at OpenVINO's boundaries, the
entries of manifest.json and the table in docs/architecture.md all come from `TENSORS`. Standard library only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class Route(Enum):
    """Where a tensor comes from and who reads it."""

    HOST_TO_GRAPH = "host to graph"
    GRAPH_TO_GRAPH = "graph to graph"
    GRAPH_TO_HOST = "graph to host"


HIDDEN = "hidden"
"""Stands in `Tensor.dtype` for the type of hidden states, which the precision of a bundle decides."""

HIDDEN_DTYPES = {"fp32": "float32", "int8": "float32", "fp16": "float16", "bf16": "bfloat16"}
"""The type of hidden states, by the precision of a bundle."""


@dataclass(frozen=True)
class Tensor:
    """A row of the table.

    dtype: as NumPy calls it, or HIDDEN
    axes: names of sizes, see `FIXED` and `DYNAMIC`; "a * b" is a product of two
    """

    name: str
    dtype: str
    axes: tuple[str, ...]
    route: Route
    meaning: str


FIXED = {
    "block_size": "positions of a block",
    "heads": "attention heads",
    "context_size": "heads times the size of one",
    "hidden_size": "width of the layers",
}
"""Axes whose size the model decides."""

DYNAMIC = {
    "blocks": "N, the live blocks of all windows in the batch, end to end",
    "blocks_before": "N of the stage before",
    "windows": "B, the windows that have not left the batch",
    "width": "M, the live blocks of the window that has most",
    "cells": "B times M, the cells of the attention grid",
    "cells_before": "B times M of the stage before",
    "passage_blocks": "P, the live blocks that predictors judge: those with a passage token; 1 where there are none",
    "question_blocks": "Q, the question blocks of the window that has most",
}
"""Axes whose size each run decides."""

_HOST = Route.HOST_TO_GRAPH
_BETWEEN = Route.GRAPH_TO_GRAPH
_RESULT = Route.GRAPH_TO_HOST
_ROWS = (
    Tensor("input_ids", "int64", ("blocks", "block_size"), _HOST, "token ids"),
    Tensor("token_type_ids", "int64", ("blocks", "block_size"), _HOST, "0 for the question, 1 for the passage; 0 where "
           "the model knows one type"),
    Tensor("position_ids", "int64", ("blocks", "block_size"), _HOST, "positions, counted as the model counts them"),
    Tensor("section_ids", "int64", ("windows", "width * block_size"), _HOST, "of a split model, token ids of sections "
           "of passages"),
    Tensor("section_mask", "float32", ("windows", "width * block_size"), _HOST, "additive: 0 for a token, -10000 for "
           "padding"),
    Tensor("question_ids", "int64", ("windows", "width * block_size"), _HOST, "of a split model, `[CLS] question "
           "[SEP]` of questions"),
    Tensor("question_mask", "float32", ("windows", "width * block_size"), _HOST, "additive, as `section_mask`"),
    Tensor("states", HIDDEN, ("blocks", "block_size", "hidden_size"), _HOST, "of a split model, the hidden states "
           "behind its lower layers"),
    Tensor("last_context", HIDDEN, ("cells_before", "block_size", "context_size"), _BETWEEN, "`context` of the stage "
           "before"),
    Tensor("last_residual", HIDDEN, ("blocks_before", "block_size", "hidden_size"), _BETWEEN, "`residual` of the stage "
           "before"),
    Tensor("keep_cells", "int64", ("blocks",), _HOST, "the cells of `last_context` that were kept"),
    Tensor("keep", "int64", ("blocks",), _HOST, "the blocks of `last_residual` that were kept"),
    Tensor("table", "int64", ("windows", "width"), _HOST, "the packed block of each grid cell, 0 for an empty one"),
    Tensor("back", "int64", ("blocks",), _HOST, "the cell of each packed block"),
    Tensor("mask", "float32", ("windows", "width * block_size"), _HOST, "additive: 0 for a real token, -10000 for "
           "padding and empty cells"),
    Tensor("probe", "int64", ("passage_blocks", "heads", "block_size"), _HOST, "where the attention map, seen as rows "
           "of block_size numbers, holds the diagonal blocks of the judged blocks: `blocks.diagonal_rows`"),
    Tensor("context", HIDDEN, ("cells", "block_size", "context_size"), _BETWEEN, "attention context of the stage's "
           "last layer, a block per grid cell"),
    Tensor("residual", HIDDEN, ("blocks", "block_size", "hidden_size"), _BETWEEN, "what enters that layer, packed"),
    Tensor("diagonal", "float32", ("passage_blocks", "heads", "block_size", "block_size"), _BETWEEN, "diagonal blocks "
           "of that layer's attention map"),
    Tensor("passage", "float32", ("windows", "width * block_size"), _HOST, "1 for a token of the passage"),
    Tensor("asked", "int64", ("windows", "question_blocks"), _HOST, "the cells of each window's question blocks, its "
           "first cell where it has fewer than Q"),
    Tensor("question", "float32", ("windows", "question_blocks * block_size"), _HOST, "1 for a token of the question"),
    Tensor("scored", "int64", ("passage_blocks",), _HOST, "the cells of the judged blocks"),
    Tensor("keep_probability", "float32", ("passage_blocks",), _RESULT, "keep probability of each judged block"),
    Tensor("start_logits", "float32", ("blocks", "block_size"), _RESULT, "of each position, that an answer starts "
           "there"),
    Tensor("end_logits", "float32", ("blocks", "block_size"), _RESULT, "of each position, that an answer ends there"),
)  # fmt: skip

TENSORS: Mapping[str, Tensor] = {row.name: row for row in _ROWS}
"""The table, by name."""

TOKEN_INPUTS = ("input_ids", "token_type_ids", "position_ids")
BOUNDARY_INPUTS = ("last_context", "last_residual", "keep_cells", "keep")
GRID_INPUTS = ("table", "back", "mask", "probe")
FIRST_STAGE_INPUTS = TOKEN_INPUTS + GRID_INPUTS
PREPARE_INPUTS = ("section_ids", "section_mask")
QUESTION_INPUTS = ("question_ids", "question_mask")
READING_INPUTS = ("states", *GRID_INPUTS)
"""What the first stage of a split model takes: the layers below it have run."""
LATER_STAGE_INPUTS = BOUNDARY_INPUTS + GRID_INPUTS
STAGE_OUTPUTS = ("context", "residual", "diagonal")
"""What a stage leaves; `diagonal` only where a predictor reads it."""
PREDICTOR_INPUTS = ("diagonal", "context", "residual", "table", "passage", "asked", "question", "scored")
PREDICTOR_OUTPUTS = ("keep_probability",)
LOGITS = ("start_logits", "end_logits")
BETWEEN_ENGINES = frozenset(row.name for row in _ROWS if row.route is Route.GRAPH_TO_GRAPH)
"""Tensors that nothing but graphs reads."""


class Sizes(Protocol):
    """The sizes of a model that decide the fixed axes; `manifest.Model` has them."""

    @property
    def block_size(self) -> int: ...
    @property
    def num_heads(self) -> int: ...
    @property
    def head_size(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...


def fixed_sizes(model: Sizes) -> dict[str, int]:
    """Return the size of every fixed axis.

    Example:
        >>> from types import SimpleNamespace
        >>> fixed_sizes(SimpleNamespace(block_size=32, num_heads=12, head_size=64, hidden_size=768))
        {'block_size': 32, 'heads': 12, 'context_size': 768, 'hidden_size': 768}
    """
    return {
        "block_size": model.block_size,
        "heads": model.num_heads,
        "context_size": model.num_heads * model.head_size,
        "hidden_size": model.hidden_size,
    }


@dataclass(frozen=True)
class TensorSpec:
    """A tensor of one graph, as manifest.json has it.

    dtype: "int64", "bool", "float32", "float16" or "bfloat16"
    axes: a number for a fixed size; for a dynamic one its name, or "width * 32" for so many times it
    """

    name: str
    dtype: str
    axes: list[int | str]


def specify(name: str, model: Sizes, precision: str) -> TensorSpec:
    """Return a tensor of the table as it is in a bundle of this model and precision.

    Example:
        >>> from types import SimpleNamespace
        >>> model = SimpleNamespace(block_size=32, num_heads=12, head_size=64, hidden_size=768)
        >>> specify("mask", model, "fp16")
        TensorSpec(name='mask', dtype='float32', axes=['windows', 'width * 32'])
        >>> specify("residual", model, "fp16")
        TensorSpec(name='residual', dtype='float16', axes=['blocks', 32, 768])
    """
    tensor = TENSORS[name]
    sizes = fixed_sizes(model)
    dtype = HIDDEN_DTYPES[precision] if tensor.dtype == HIDDEN else tensor.dtype
    axes: list[int | str] = []
    for axis in tensor.axes:
        dynamic, _, factor = axis.partition(" * ")
        if factor:
            axes.append(f"{dynamic} * {sizes[factor]}")
        else:
            axes.append(sizes.get(axis, axis))
    return TensorSpec(name, dtype, axes)


def specify_all(names: Sequence[str], model: Sizes, precision: str) -> list[TensorSpec]:
    """Return several tensors, in order."""
    return [specify(name, model, precision) for name in names]
