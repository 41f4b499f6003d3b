"""The tensors of the single graph: one batch of windows in, their logits out. Standard library only.

What becomes of them inside is `export.single`; docs/single.md has the table.
"""

from collections.abc import Sequence

from bskim_export.bundle.tensors import TensorSpec

FILE = "onnx/skim.onnx"
TOKENS = ("input_ids", "attention_mask", "token_type_ids")
"""What any BERT in ONNX takes, int64 [batch, sequence]."""
OUTPUTS = ("start_logits", "end_logits", "dropped_after", "keep_probability")
CPU_PRECISIONS = ("fp32", "int8")
"""Bundles of these have the graph: runtimes of the CPU compile shapes that depend on data."""


def token_specs(names: Sequence[str]) -> list[TensorSpec]:
    """Return the inputs among TOKENS of these names."""
    return [TensorSpec(name, "int64", ["batch", "sequence"]) for name in names]


def steering_specs(layers: int) -> list[TensorSpec]:
    """Return the inputs by which the runtime steers the graph.

    question_length: tokens before the first one of the passage
    thresholds: keep probability from which a block stays, for each layer with a predictor
    may_leave: the window leaves once everything in it is refused
    judge_shared: the block that question and passage share is judged too; see `runtime.windows.Window`
    held: blocks that stay whatever the predictors say; their windows do not leave
    judges: whether each layer's predictor runs
    allowed: others are refused after that layer whatever the predictors say

    Args:
        layers: how many have a predictor
    """
    return [
        TensorSpec("question_length", "int64", ["batch"]),
        TensorSpec("thresholds", "float32", [layers]),
        TensorSpec("may_leave", "bool", ["batch"]),
        TensorSpec("judge_shared", "bool", ["batch"]),
        TensorSpec("held", "bool", ["batch", "blocks"]),
        TensorSpec("judges", "bool", [layers]),
        TensorSpec("allowed", "bool", [layers, "batch", "blocks"]),
    ]


def input_specs(layers: int) -> list[TensorSpec]:
    """Return all inputs of the graph in a bundle."""
    return [*token_specs(TOKENS[:2]), *steering_specs(layers)]


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
