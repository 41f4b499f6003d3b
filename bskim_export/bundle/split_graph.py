"""The graphs of a split model's lower layers: what they take and give. Standard library only.

Both read sequences that are padded to whole blocks, B of them together. The graph of passages puts the model's `[CLS]`
before each by itself.
"""

from collections.abc import Iterator

from bskim_export.bundle.manifest import Manifest, Model
from bskim_export.bundle.tensors import HIDDEN_DTYPES, PREPARE_INPUTS, QUESTION_INPUTS, TensorSpec, specify_all

PREPARE = "onnx/prepare.onnx"
QUESTION = "onnx/question.onnx"
Specs = tuple[list[TensorSpec], list[TensorSpec]]
"""Inputs and outputs of a graph."""


def prepare_specs(model: Model, parts: int, width: int, precision: str) -> Specs:
    """Return the tensors of the graph that prepares passages.

    It takes PREPARE_INPUTS of `tensors`, and gives

    section_states: hidden states behind the lower layers
    features: of each block, its parts' features one after the other
    """
    tokens = f"width * {model.block_size}"
    hidden = HIDDEN_DTYPES[precision]
    return (
        specify_all(PREPARE_INPUTS, model, precision),
        [
            TensorSpec("section_states", hidden, ["windows", tokens, model.hidden_size]),
            TensorSpec("features", "float32", ["windows", "width", parts * width]),
        ],
    )


def question_specs(model: Model, width: int, precision: str) -> Specs:
    """Return the tensors of the graph that reads questions.

    It takes QUESTION_INPUTS of `tensors`, and gives

    question_states: hidden states behind the lower layers
    queries: what each token looks for among the features, 0 for padding
    """
    tokens = f"width * {model.block_size}"
    hidden = HIDDEN_DTYPES[precision]
    return (
        specify_all(QUESTION_INPUTS, model, precision),
        [
            TensorSpec("question_states", hidden, ["windows", tokens, model.hidden_size]),
            TensorSpec("queries", "float32", ["windows", tokens, width]),
        ],
    )


def split_faults(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a manifest's `split`: the field, and what is wrong with it."""
    split, model = manifest.split, manifest.model
    if split is None:
        return
    if not 1 <= split.layer < model.num_layers:
        yield "split: layer", f"expected 1 to {model.num_layers - 1}, found {split.layer}"
    if not 0 <= split.retrieval_layers <= model.num_layers:
        yield "split: retrieval_layers", f"expected 0 to {model.num_layers}, found {split.retrieval_layers}"
    if not 1 <= split.parts <= model.block_size or model.block_size % split.parts:
        yield "split: parts", f"expected a divisor of block_size {model.block_size}, found {split.parts}"
    if not 1 <= split.width <= 1 << 16:
        yield "split: width", f"expected 1 to {1 << 16}, found {split.width}"
    for name in ("max_blocks", "window_blocks"):
        if not 1 <= (found := getattr(split, name)) <= 1 << 16:
            yield f"split: {name}", f"expected 1 to {1 << 16}, found {found}"
    if manifest.precision not in HIDDEN_DTYPES:
        return
    for place, graph, file, (inputs, outputs) in (
        ("prepare", split.prepare, PREPARE, prepare_specs(model, split.parts, split.width, manifest.precision)),
        ("question", split.question, QUESTION, question_specs(model, split.width, manifest.precision)),
    ):
        if graph.file != file or graph.symmetric is not None:
            yield f"split: {place}: file", f"expected '{file}' in one form, found '{graph.file[:80]}'"
        if graph.inputs != inputs:
            yield f"split: {place}: inputs", "they are not those of this graph"
        if graph.outputs != outputs:
            yield f"split: {place}: outputs", "they are not those of this graph"
