"""The lower graphs of a split model's bundle: written, and described for its manifest."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from bskim_export.bundle.manifest import Graph, Model, Split
from bskim_export.bundle.split_graph import PREPARE, QUESTION, Specs, prepare_specs, question_specs
from bskim_export.errors import InputError
from bskim_export.export.graph_writer import GraphWriter
from bskim_export.export.onnx_graph import example_inputs
from bskim_export.export.split_graphs import PrepareModule, QuestionModule
from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.model.retrieval import WIDTH, RetrievalPredictor
from bskim_export.model.split import split_layer
from bskim_export.training.split_data import ROOM

MAX_BLOCKS = max(ROOM)
"""Passage blocks that a question reads: the most that were read together in training."""


def check_split(model: BlockSkimForQuestionAnswering, precision: str, engines: Sequence[object]) -> None:
    """Raise InputError if a split model is to be exported in a way that there is not."""
    if model.skim.split_layer is None:
        return
    if precision != "fp32":
        raise InputError(f"A split model is exported in fp32 only, not in {precision}: pass no --precision.")
    if engines:
        raise InputError("A split model is not compiled ahead of time: pass no --backend; TensorRT compiles it at run.")


def check_joint(model: BlockSkimForQuestionAnswering, what: str) -> None:
    """Raise InputError if a model is split, which cannot be exported in this way.

    Args:
        what: the way, as the user asked for it
    """
    if model.skim.split_layer is not None:
        raise InputError(f"The model is split: {what} is for models that read question and passage together.")


def write_lower(
    model: BlockSkimForQuestionAnswering, description: Model, writer: GraphWriter, step: Callable[[], object]
) -> Split:
    """Write both lower graphs.

    Args:
        step: called before each
    """
    assert isinstance(model.retrieval, RetrievalPredictor)
    parts = model.retrieval.parts
    first = description.pad_token_id if description.cls_token_id is None else description.cls_token_id

    def write(module: nn.Module, file: str, outputs: Sequence[str], specs: Specs) -> Graph:
        step()
        examples = example_inputs([spec.name for spec in specs[0]], description, torch.float32)
        writer.write((type(module),), module, examples, tuple(outputs), file)
        return Graph(file, *specs)

    prepare = PrepareModule(model, first).eval()
    question = QuestionModule(model).eval()
    precision = "fp32"
    return Split(
        split_layer(model),
        parts,
        WIDTH,
        MAX_BLOCKS,
        write(prepare, PREPARE, prepare.outputs, prepare_specs(description, parts, WIDTH, precision)),
        write(question, QUESTION, question.outputs, question_specs(description, WIDTH, precision)),
    )
