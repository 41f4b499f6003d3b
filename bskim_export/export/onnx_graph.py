"""PyTorch module -> ONNX graph, by torch's dynamo exporter; and one exported graph for many layers of one shape.

Exporting a stage takes seconds, and all middle stages have the same graph. So the first one is exported with random
stand-ins for its weights, which tells which initializer came from which parameter, and then written once for every
layer with that layer's weights.
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
        return [v.name for v in self.model.graph.inputs]

    @property
    def outputs(self) -> list[str]:
        """Return the names of the outputs, in order."""
        return [v.name for v in self.model.graph.outputs]

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
        # The first time, weights that several layers share are not transposed once and for all, as others are
        program.optimize()
    model = program.model
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version = "bskim-export", None
    _strip(model)
    return GraphTemplate(model, _find_origins(model, stand_in))


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
    """Return for every parameter of a module the first name that it goes by. Modules of one class that differ here,
    in their number of layers or in which of them share weights (ALBERT), have different graphs.

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


def add_constant(graph: ir.Graph, name: str, array: np.ndarray) -> ir.Value:
    """Give a graph an initializer and return it."""
    value = ir.Value(
        name=name,
        shape=ir.Shape(array.shape),
        type=ir.TensorType(ir.DataType.from_numpy(array.dtype)),
        const_value=ir.tensor(array, name=name),
    )
    graph.register_initializer(value)
    return value


def _randomised(module: nn.Module) -> nn.Module:
    """Return a copy with distinct random parameters, so that an initializer's content names its parameter."""
    stand_in = copy.deepcopy(module).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in stand_in.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=generator))
    return stand_in


def _find_origins(model: ir.Model, module: nn.Module) -> dict[str, tuple[str, bool]]:
    known: dict[bytes, tuple[str, bool]] = {}
    for name, parameter in module.named_parameters():
        array = as_array(parameter)
        known.setdefault(_key(array), (name, False))
        if array.ndim == 2:  # the exporter stores the transposed weight of a linear layer
            known.setdefault(_key(array.T), (name, True))
    origins = {}
    for name, value in model.graph.initializers.items():
        array = value.const_value.numpy()
        if not value.const_value.dtype.is_floating_point():
            continue
        if (origin := known.get(_key(array))) is not None:
            origins[name] = origin
        elif array.size > 1:
            raise AssertionError(
                f"initializer {name} {array.shape} comes from no parameter: the template cannot be reused"
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
    loggers = [
        logging.getLogger(n) for n in ("torch.onnx", "torch.onnx._internal.exporter._registration", "onnxscript")
    ]
    before = [(one, one.level) for one in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for one in loggers:
            one.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for one, level in before:
                one.setLevel(level)
