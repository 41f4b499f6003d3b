"""The tensors of the graphs that take one window alone: the skimming model as one graph, and the dense one.

What becomes of them inside is `export.single`; docs/single.md has the table. Standard library only.
"""

from collections.abc import Sequence

from bskim_export.bundle.tensors import TOKEN_INPUTS, TensorSpec

FILE = "onnx/skim.onnx"
DENSE_FILE = "onnx/dense_alone.onnx"
LENGTH = TensorSpec("length", "int64", [1])
"""An input of graphs of one window: how many of its tokens are no padding, which comes last."""
TOKENS = ("input_ids", "attention_mask", "token_type_ids")
"""What any BERT in ONNX takes, int64 [batch, sequence]."""
OUTPUTS = ("start_logits", "end_logits", "dropped_after", "keep_probability")
NEVER = 2.0
"""A threshold that no keep probability reaches."""
CPU_PRECISIONS = ("fp32", "int8")
"""Bundles of these have both graphs: runtimes of the CPU compile shapes that depend on data."""


def token_specs(names: Sequence[str]) -> list[TensorSpec]:
    """Return the inputs among TOKENS of these names."""
    return [TensorSpec(name, "int64", ["batch", "sequence"]) for name in names]


def steering_specs(layers: int) -> list[TensorSpec]:
    """Return the inputs by which the runtime steers the graph.

    question_length: tokens before the first one of the passage
    may_leave: the window leaves once every block of it that is judged is refused
    judged: the blocks that the predictor of each layer judges; it does not run where there are none
    thresholds: keep probability from which each of them stays; NEVER for one that is refused in any case
    droppable: the blocks that are dropped once they are refused. Others are dropped with their window only, as the one
        that question and passage share

    Args:
        layers: how many have a predictor
    """
    return [
        TensorSpec("question_length", "int64", ["batch"]),
        TensorSpec("may_leave", "bool", ["batch"]),
        TensorSpec("judged", "bool", [layers, "batch", "blocks"]),
        TensorSpec("thresholds", "float32", [layers, "batch", "blocks"]),
        TensorSpec("droppable", "bool", ["batch", "blocks"]),
    ]


def input_specs(layers: int) -> list[TensorSpec]:
    """Return all inputs of the graph in a bundle."""
    return [*token_specs(TOKENS[:2]), *steering_specs(layers)]


def dense_input_specs(of_batches: Sequence[TensorSpec]) -> list[TensorSpec]:
    """Return the inputs of the dense graph of one window, from those of the dense graph of batches."""
    return [*(spec for spec in of_batches if spec.name in (*TOKEN_INPUTS, "states")), LENGTH]


def output_specs(layers: int) -> list[TensorSpec]:
    """Return its outputs.

    start_logits, end_logits: -10000 where a token was dropped or is padding
    dropped_after: the layer after which each block was dropped, `blocks.KEPT` if it never was
    keep_probability: what the predictor of each layer that has one says of each block; -1 where it did not judge it
    """
    return [
        TensorSpec("start_logits", "float32", ["batch", "sequence"]),
        TensorSpec("end_logits", "float32", ["batch", "sequence"]),
        TensorSpec("dropped_after", "int64", ["batch", "blocks"]),
        TensorSpec("keep_probability", "float32", ["batch", layers, "blocks"]),
    ]
