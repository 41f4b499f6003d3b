"""PyTorch module -> ONNX graph, by torch's dynamo exporter; and one exported graph for many layers of one shape.

Exporting a stage takes seconds, and all middle stages have the same graph. So the first one is exported with random
stand-ins for its weights, whose values tell which initializer came from which parameter. It is then written once for
every layer, with that layer's weights.
"""

import copy
import logging
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor, nn
from torch.export import Dim

from bskim_export.bundle.tensors import DYNAMIC, HIDDEN, TENSORS, Sizes, fixed_sizes
from bskim_export.bundle.tensors import Tensor as TableTensor
from bskim_export.export.graph_values import name_of
from bskim_export.export.weights import WeightStore

OPSET = 20
IR_VERSION = 10


@dataclass
class Input:
    """An example of one input and its dynamic axes: {axis: dimension name or Dim}."""

    example: Tensor
    axes: Mapping[int, Any]


@dataclass
class GraphTemplate:
    """An exported graph and where each of its large initializers comes from: {initializer: (parameter, transposed)}."""

    model: ir.Model
    origins: dict[str, tuple[str, bool]]

    @property
    def inputs(self) -> list[str]:
        """Return the names of the inputs, in order."""
        return [name_of(v) for v in self.model.graph.inputs]

    @property
    def outputs(self) -> list[str]:
        """Return the names of the outputs, in order."""
        return [name_of(v) for v in self.model.graph.outputs]

    def clone(self) -> "GraphTemplate":
        """Return a copy whose graph can be changed without changing this one's."""
        return GraphTemplate(self.model.clone(), dict(self.origins))

    def write(self, module: nn.Module, path: Path, store: WeightStore) -> None:
        """Write the graph with the weights of `module`, which has the same shape as the template's own module."""
        parameters = dict(module.named_parameters())
        for name, value in self.model.graph.initializers.items():
            if name in self.origins:
                origin, transposed = self.origins[name]
                array = as_array(parameters[origin])
                value.const_value = store.add(name, array.T if transposed else array)
        path.write_bytes(ir.to_proto(self.model).SerializeToString(deterministic=True))


def export_template(module: nn.Module, inputs: Mapping[str, Input], outputs: tuple[str, ...]) -> GraphTemplate:
    """Export a module to a template that `write` fills with the weights of any module of the same shape.

    Args:
        module: in evaluation mode; not changed
        inputs: in the order of its forward's arguments; those that its graph does not use are left out
        outputs: names of its results
    """
    stand_in = _randomised(module)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            stand_in,
            tuple(i.example for i in inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=[dict(i.axes) for i in inputs.values()],
            verbose=False,
        )
        assert program is not None, "the dynamo exporter returns a program"
        # Once more: `export` transposes weights ahead of time, but not those that several layers share.
        program.optimize()
    model = program.model
    model.ir_version = IR_VERSION
    model.producer_name = "bskim-export"
    model.producer_version = None
    _strip(model)
    origins = _find_origins(model, stand_in)
    for name in origins:  # `write` puts weights there; the stand-ins may be kept for long, and are as large
        model.graph.initializers[name].const_value = None
    return GraphTemplate(model, origins)


EXAMPLE_SIZES = {
    "blocks": 7,
    "blocks_before": 9,
    "windows": 2,
    "width": 4,
    "cells": 8,
    "cells_before": 11,
    "passage_blocks": 5,
    "question_blocks": 3,
}
"""Sizes of the dynamic axes in the examples that a graph is exported with: no two that look like one."""


def example_inputs(names: Sequence[str], model: Sizes, hidden: torch.dtype) -> dict[str, Input]:
    """Return an example of each tensor that a stage or a predictor takes, and its dynamic axes.

    Args:
        names: rows of `bundle.tensors`
        model: decides the fixed axes
        hidden: type of hidden states
    """
    sizes = {**fixed_sizes(model), **EXAMPLE_SIZES}
    dtypes = {"int64": torch.int64, "float32": torch.float32, HIDDEN: hidden}
    inputs = {}
    for name in names:
        tensor = TENSORS[name]
        shape = [math.prod(sizes[factor] for factor in axis.split(" * ")) for axis in tensor.axes]
        # Zeros are indices that every table has; the exporter looks at shapes alone.
        inputs[name] = Input(torch.zeros(shape, dtype=dtypes[tensor.dtype]), _dynamic_axes(tensor, sizes))
    return inputs


def _dynamic_axes(tensor: TableTensor, sizes: Mapping[str, int]) -> dict[int, Any]:
    axes: dict[int, Any] = {}
    for place, axis in enumerate(tensor.axes):
        name, _, factor = axis.partition(" * ")
        if name in DYNAMIC:
            axes[place] = sizes[factor] * Dim(name) if factor else Dim(name)
    return axes


def sharing(module: nn.Module) -> tuple[str, ...]:
    """Return for every parameter of a module the first name that it goes by.

    Modules of one class that differ here have different graphs: in their number of layers, or in which of them share
    weights (ALBERT).

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> sharing(nn.ModuleList([layer, nn.Linear(2, 2), layer]))
        ('0.weight', '0.bias', '1.weight', '1.bias', '0.weight', '0.bias')
    """
    first: dict[int, str] = {}
    return tuple(first.setdefault(id(p), name) for name, p in module.named_parameters(remove_duplicate=False))


def as_array(parameter: Tensor) -> np.ndarray:
    """Return a parameter's values, those of bfloat16 as ml_dtypes has them."""
    if parameter.dtype == torch.bfloat16:  # NumPy has no type of its own for it
        return parameter.detach().contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return parameter.detach().numpy()


def _randomised(module: nn.Module) -> nn.Module:
    """Return a copy with distinct random parameters, so that an initializer's content names its parameter."""
    stand_in = copy.deepcopy(module).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in stand_in.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=generator))
    return stand_in


def _find_origins(model: ir.Model, module: nn.Module) -> dict[str, tuple[str, bool]]:
    """Return where each large initializer comes from; see GraphTemplate.

    Args:
        module: the one that was exported, its parameters all different
    """
    # What each parameter looks like in the graph: as it is, or transposed.
    known: dict[bytes, tuple[str, bool]] = {}
    for name, parameter in module.named_parameters():
        array = as_array(parameter)
        known.setdefault(_key(array), (name, False))
        if array.ndim == 2:  # the exporter stores the transposed weight of a linear layer
            known.setdefault(_key(array.T), (name, True))
    # Integers are constants of the exporter, and so are single numbers that no parameter has.
    origins = {}
    for name, value in model.graph.initializers.items():
        constant = value.const_value
        assert constant is not None, f"{name} is an initializer, which has a value"
        if not constant.dtype.is_floating_point():
            continue
        array = constant.numpy()
        if (origin := known.get(_key(array))) is not None:
            origins[name] = origin
        elif array.size > 1:
            raise AssertionError(
                f"Initializer {name} {array.shape} comes from no parameter, so other layers cannot have it of theirs."
            )
    return origins


def _key(array: np.ndarray) -> bytes:
    return repr(array.shape).encode() + np.ascontiguousarray(array).tobytes()


def _strip(model: ir.Model) -> None:
    """Drop what only the exporter's authors read (stack traces with local paths), and inputs that nothing uses."""
    model.metadata_props.clear()
    graph = model.graph
    graph.metadata_props.clear()
    for node in graph.all_nodes():
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()
    for value in [*graph.inputs, *graph.initializers.values()]:
        value.metadata_props.clear()
    for value in list(graph.inputs):
        if not value.uses():
            graph.inputs.remove(value)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's remarks about itself (torchvision is not installed, ...)."""
    names = ("torch.onnx", "torch.onnx._internal.exporter._registration", "onnxscript")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
