"""The lower graphs of a split model's bundle, and what export refuses of such a model."""

from collections.abc import Callable, Sequence

import torch

from bskim_export.bundle.manifest import Model, Split
from bskim_export.errors import InputError
from bskim_export.export.graph_writer import GraphWriter
from bskim_export.export.onnx_graph import example_inputs
from bskim_export.export.split_graphs import PrepareModule, QuestionModule
from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.runtime.prepared.passages import first_token
from bskim_export.training.split_evaluate import describe_split


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
    split = describe_split(model, description)
    for graph, module in (
        (split.prepare, PrepareModule(model, first_token(description))),
        (split.question, QuestionModule(model)),
    ):
        step()
        examples = example_inputs(graph.input_names, description, torch.float32)
        writer.write((type(module),), module.eval(), examples, tuple(graph.output_names), graph.file)
    return split
