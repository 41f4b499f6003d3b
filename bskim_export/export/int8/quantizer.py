"""INT8: the matrix products of the layers' weights; everything else stays fp32.

Static and per tensor, so that a window's numbers do not depend on its batch (dynamic quantisation takes its scale from
all windows that run together). What is observed belongs to a weight, not to a graph: a product gets the same integers
in `dense.onnx` and in the stage that holds it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from onnx_ir.convenience import replace_all_uses_with
from torch import nn

from bskim_export.export.int8.ranges import ActivationStats
from bskim_export.export.onnx_graph import GraphTemplate, add_constant, as_array
from bskim_export.export.passes.fused_products import bias_behind, fuse_products
from bskim_export.export.weights import WeightStore


@dataclass(frozen=True)
class Weight:
    """A quantised weight: the parameter that it comes from, and its initializers."""

    parameter: str
    transposed: bool
    whole: ir.Value
    scale: ir.Value


@dataclass(frozen=True)
class Outliers:
    """The part of a product that stays fp32: the parameter that it comes from, and its initializers."""

    parameter: str
    channels: ir.Value
    rows: ir.Value


@dataclass(frozen=True)
class QuantizedActivation:
    """A quantised activation: the parameter of a product that reads it, and its initializers."""

    parameter: str
    evener: ir.Value
    scale: ir.Value
    zero_point: ir.Value


class QuantizedTemplate(GraphTemplate):
    """A template whose products with weights are INT8.

    Args:
        template: in fp32; its graph is changed
        stats: from `measure_activations`
        module: the one that it was exported from
        signed: int8 with zero point 0 for activations, all that TensorRT takes; else uint8 with a zero point, which
            is faster in ONNX Runtime on x86 and a bit finer
    """

    def __init__(self, template: GraphTemplate, stats: Mapping[int, ActivationStats], module: nn.Module, signed: bool):
        super().__init__(template.model, dict(template.origins))
        self._stats = stats
        self._signed = signed
        self._weights: list[Weight] = []
        self._readings: list[QuantizedActivation] = []
        self._outliers: dict[ir.Value, Outliers] = {}
        weights: dict[ir.Value, ir.Value] = {}  # a layer's weights that others share (ALBERT) are in several products
        readings: dict[ir.Value, ir.Value] = {}  # query, key and value read the same
        parameters, graph = dict(module.named_parameters()), self.model.graph
        for node in list(graph):
            if node.op_type != "MatMul" or node.inputs[1].name not in template.origins:
                continue
            read, weight = node.inputs
            parameter, transposed = template.origins[weight.name]
            if id(parameters[parameter]) not in stats:
                continue
            if count := len(stats[id(parameters[parameter])].outliers):
                self._add_outliers(node, read, weight, parameter, count)
            if weight not in weights:
                weights[weight] = self._add_weight(node, weight, parameter, transposed)
            if read not in readings:
                readings[read] = self._add_reading(node, read, parameter, weight.shape[0])
            node.replace_input_with(0, readings[read])
            node.replace_input_with(1, weights[weight])
        for weight in weights:
            del self.origins[weight.name], graph.initializers[weight.name]
        if not signed:
            fuse_products(self.model)

    def write(self, module: nn.Module, path, store: WeightStore) -> None:
        """Write the graph with the weights of `module`, quantised column by column."""
        parameters = dict(module.named_parameters())
        for one in self._weights:
            parameter = parameters[one.parameter]
            array = as_array(parameter).T if one.transposed else as_array(parameter)
            seen = self._stats[id(parameter)]
            even = array * seen.smoothing[:, None]
            even[seen.outliers] = 0
            whole, scale = quantise_columns(even)
            one.whole.const_value = store.add(one.whole.name, whole)
            one.scale.const_value = ir.tensor(scale, name=one.scale.name)
        for one in self._readings:
            seen = self._stats[id(parameters[one.parameter])]
            scale, zero_point = scale_of(seen.least, seen.most, self._signed)
            evener = 1 / seen.smoothing
            evener[seen.outliers] = 0
            for value, array in ((one.evener, evener), (one.scale, scale), (one.zero_point, zero_point)):
                value.const_value = ir.tensor(array, name=value.name)
        for one in self._outliers.values():
            parameter = parameters[one.parameter]
            channels = self._stats[id(parameter)].outliers
            rows = np.ascontiguousarray(as_array(parameter)[:, channels].T)
            for value, array in ((one.channels, channels), (one.rows, rows)):
                value.const_value = ir.tensor(array, name=value.name)
        super().write(module, path, store)

    def _add_weight(self, before: ir.Node, old: ir.Value, parameter: str, transposed: bool) -> ir.Value:
        graph = self.model.graph
        whole = add_constant(graph, f"{old.name}_quantized", np.zeros(old.shape, np.int8))
        scale = add_constant(graph, f"{old.name}_scale", np.ones(old.shape[1], np.float32))
        wide = ir.node("DequantizeLinear", [whole, scale], {"axis": 1})
        graph.insert_before(before, wide)
        self._weights.append(Weight(parameter, transposed, whole, scale))
        return wide.outputs[0]

    def _add_outliers(self, product: ir.Node, read: ir.Value, weight: ir.Value, parameter: str, count: int) -> None:
        graph, name = self.model.graph, weight.name
        if weight not in self._outliers:
            channels = add_constant(graph, f"{name}_outliers", np.zeros(count, np.int64))
            rows = add_constant(graph, f"{name}_outlier_rows", np.zeros((count, weight.shape[1]), np.float32))
            self._outliers[weight] = Outliers(parameter, channels, rows)
        own = self._outliers[weight]
        last = bias_behind(product) or product  # behind the bias, which is then part of the product in ONNX Runtime
        chosen = ir.node("Gather", [read, own.channels], {"axis": -1})
        part = ir.node("MatMul", [chosen.outputs[0], own.rows])
        both = ir.node("Add", [last.outputs[0], part.outputs[0]])
        replace_all_uses_with(last.outputs[0], both.outputs[0])
        both.replace_input_with(0, last.outputs[0])
        graph.insert_after(last, [chosen, part, both])

    def _add_reading(self, before: ir.Node, read: ir.Value, parameter: str, channels: int) -> ir.Value:
        graph = self.model.graph
        evener = add_constant(graph, f"{read.name}_evener", np.ones(channels, np.float32))
        scale = add_constant(graph, f"{read.name}_scale", np.ones((), np.float32))
        zero_point = add_constant(graph, f"{read.name}_zero_point", np.zeros((), np.int8 if self._signed else np.uint8))
        even = ir.node("Mul", [read, evener])
        narrow = ir.node("QuantizeLinear", [even.outputs[0], scale, zero_point])
        wide = ir.node("DequantizeLinear", [narrow.outputs[0], scale, zero_point])
        graph.insert_before(before, [even, narrow, wide])
        self._readings.append(QuantizedActivation(parameter, evener, scale, zero_point))
        return wide.outputs[0]


def variants(
    template: GraphTemplate, module: nn.Module, stats: Mapping[int, ActivationStats]
) -> dict[bool, GraphTemplate]:
    """Return the templates to write a graph from, by whether they are the symmetric form of it.

    That is the template itself if none of its module's weights is to be quantised, else one for ONNX Runtime and one
    with symmetric activations.
    """
    if not any(id(p) in stats for p in module.parameters()):
        return {False: template}
    return {
        False: QuantizedTemplate(template.clone(), stats, module, signed=False),
        True: QuantizedTemplate(template, stats, module, signed=True),
    }


def quantise_columns(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a weight [in, out] as int8 with zero point 0, and the scale float32 [out] of each column.

    Example:
        >>> whole, scale = quantise_columns(np.array([[1.0, -4.0], [-0.5, 2.0]], np.float32))
        >>> whole.tolist(), (scale * 127).tolist()
        ([[127, -127], [-64, 64]], [1.0, 4.0])
    """
    scale = np.maximum(np.abs(weight).max(0), np.finfo(np.float32).tiny * 127) / np.float32(127)
    return np.rint(weight / scale).astype(np.int8), scale.astype(np.float32)


def scale_of(least: float, most: float, signed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return scale and zero point, of int8 or uint8, for a range of values, which is widened to hold 0.

    Example:
        >>> [v.tolist() for v in scale_of(-1.0, 127.0, signed=True)], scale_of(-1.0, 50.0, signed=False)[1].tolist()
        ([1.0, 0], 5)
    """
    least, most = min(least, 0.0), max(most, 0.0)
    if signed:
        scale = max(-least, most, 1e-12) / 127
        return np.array(scale, np.float32), np.array(0, np.int8)
    scale = max(most - least, 1e-12) / 255
    return np.array(scale, np.float32), np.array(round(-least / scale), np.uint8)
