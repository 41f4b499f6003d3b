"""INT8: the matrix products of the layers' weights; everything else stays fp32.

Scales are static and per tensor, so that a window's numbers do not depend on its batch (dynamic quantisation takes its
scale from all windows that run together). The range of an activation belongs to the weight that reads it, not to a
graph: a product gets the same integers in `dense.onnx` and in the stage that holds it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx_ir.convenience import replace_all_uses_with
from torch import nn

from bskim_export.export.graph_values import add_constant, input_of, name_of, set_constant, sizes_of
from bskim_export.export.int8.ranges import ActivationStats
from bskim_export.export.onnx_graph import GraphTemplate, as_array
from bskim_export.export.passes.fused_products import bias_behind, fuse_products
from bskim_export.export.weights import WeightStore


@dataclass(frozen=True)
class QuantizedWeight:
    """A quantised weight.

    parameter: the module's parameter that it comes from
    transposed: the graph has it the other way round
    integers, scale: its initializers
    """

    parameter: str
    transposed: bool
    integers: ir.Value
    scale: ir.Value


@dataclass(frozen=True)
class Outliers:
    """The part of a product that stays fp32.

    parameter: the weight that it comes from
    channels, rows: its initializers: which channels of the activation, and the weight's rows for them
    """

    parameter: str
    channels: ir.Value
    rows: ir.Value


@dataclass(frozen=True)
class QuantizedActivation:
    """A quantised activation.

    parameter: a weight that reads it
    evener, scale, zero_point: its initializers; the first multiplies each channel before it is quantised
    """

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
        self._weights: list[QuantizedWeight] = []
        self._activations: list[QuantizedActivation] = []
        self._outliers: dict[ir.Value, Outliers] = {}
        weights: dict[ir.Value, ir.Value] = {}  # a layer's weights that others share (ALBERT) are in several products
        activations: dict[ir.Value, ir.Value] = {}  # query, key and value read the same
        parameters = dict(module.named_parameters())
        graph = self.model.graph
        for node in list(graph):
            # Only products with a weight whose activations were measured.
            if node.op_type != "MatMul" or name_of(input_of(node, 1)) not in template.origins:
                continue
            activation = input_of(node, 0)
            weight = input_of(node, 1)
            parameter, transposed = template.origins[name_of(weight)]
            found = stats.get(id(parameters[parameter]))
            if found is None:
                continue
            # The outliers' part comes first: it reads the activation as it was.
            if len(found.outliers):
                self._add_outliers(node, activation, weight, parameter, len(found.outliers))
            # The product then multiplies what was quantised and dequantised; runtimes make one INT8 product of that.
            if weight not in weights:
                weights[weight] = self._add_weight(node, weight, parameter, transposed)
            if activation not in activations:
                activations[activation] = self._add_activation(node, activation, parameter, sizes_of(weight)[0])
            node.replace_input_with(0, activations[activation])
            node.replace_input_with(1, weights[weight])
        # Nothing reads the weights in fp32 any more.
        for weight in weights:
            del self.origins[name_of(weight)]
            del graph.initializers[name_of(weight)]
        if not signed:
            fuse_products(self.model)

    def write(self, module: nn.Module, path: Path, store: WeightStore) -> None:
        """Write the graph with the weights of `module`, quantised column by column."""
        parameters = dict(module.named_parameters())
        for weight in self._weights:
            parameter = parameters[weight.parameter]
            array = as_array(parameter).T if weight.transposed else as_array(parameter)
            # The weight takes what evening out took from the activation. The rows of outliers are multiplied in fp32.
            stats = self._stats[id(parameter)]
            even = array * stats.smoothing[:, None]
            even[stats.outliers] = 0
            integers, scale = quantise_columns(even)
            weight.integers.const_value = store.add(name_of(weight.integers), integers)
            set_constant(weight.scale, scale)
        for activation in self._activations:
            stats = self._stats[id(parameters[activation.parameter])]
            scale, zero_point = scale_of(stats.least, stats.most, self._signed)
            evener = 1 / stats.smoothing
            evener[stats.outliers] = 0
            set_constant(activation.evener, evener)
            set_constant(activation.scale, scale)
            set_constant(activation.zero_point, zero_point)
        for outliers in self._outliers.values():
            parameter = parameters[outliers.parameter]
            channels = self._stats[id(parameter)].outliers
            set_constant(outliers.channels, channels)
            set_constant(outliers.rows, np.ascontiguousarray(as_array(parameter)[:, channels].T))
        super().write(module, path, store)

    def _add_weight(self, before: ir.Node, weight: ir.Value, parameter: str, transposed: bool) -> ir.Value:
        """Add a quantised weight in front of a product and return what it is dequantised to."""
        graph = self.model.graph
        name = name_of(weight)
        integers = add_constant(graph, f"{name}_quantized", np.zeros(sizes_of(weight), np.int8))
        scale = add_constant(graph, f"{name}_scale", np.ones(sizes_of(weight)[1], np.float32))
        dequantise = ir.node("DequantizeLinear", [integers, scale], {"axis": 1})
        graph.insert_before(before, dequantise)
        self._weights.append(QuantizedWeight(parameter, transposed, integers, scale))
        return dequantise.outputs[0]

    def _add_outliers(
        self, product: ir.Node, activation: ir.Value, weight: ir.Value, parameter: str, count: int
    ) -> None:
        """Add to a product, in fp32, the product of `count` of its channels.

        Args:
            parameter: the weight's
        """
        graph = self.model.graph
        name = name_of(weight)
        if weight not in self._outliers:
            channels = add_constant(graph, f"{name}_outliers", np.zeros(count, np.int64))
            rows = add_constant(graph, f"{name}_outlier_rows", np.zeros((count, sizes_of(weight)[1]), np.float32))
            self._outliers[weight] = Outliers(parameter, channels, rows)
        own = self._outliers[weight]
        # Behind the bias, which is then part of the product in ONNX Runtime.
        last = bias_behind(product) or product
        chosen = ir.node("Gather", [activation, own.channels], {"axis": -1})
        part = ir.node("MatMul", [chosen.outputs[0], own.rows])
        both = ir.node("Add", [last.outputs[0], part.outputs[0]])
        # All that read the product read the sum now, except the sum itself.
        replace_all_uses_with(last.outputs[0], both.outputs[0])
        both.replace_input_with(0, last.outputs[0])
        graph.insert_after(last, [chosen, part, both])

    def _add_activation(self, before: ir.Node, activation: ir.Value, parameter: str, channels: int) -> ir.Value:
        """Quantise an activation in front of a product and return what it is dequantised to."""
        graph = self.model.graph
        name = name_of(activation)
        integer = np.int8 if self._signed else np.uint8
        evener = add_constant(graph, f"{name}_evener", np.ones(channels, np.float32))
        scale = add_constant(graph, f"{name}_scale", np.ones((), np.float32))
        zero_point = add_constant(graph, f"{name}_zero_point", np.zeros((), integer))
        even = ir.node("Mul", [activation, evener])
        quantise = ir.node("QuantizeLinear", [even.outputs[0], scale, zero_point])
        dequantise = ir.node("DequantizeLinear", [quantise.outputs[0], scale, zero_point])
        graph.insert_before(before, [even, quantise, dequantise])
        self._activations.append(QuantizedActivation(parameter, evener, scale, zero_point))
        return dequantise.outputs[0]


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
        >>> integers, scale = quantise_columns(np.array([[1.0, -4.0], [-0.5, 2.0]], np.float32))
        >>> integers.tolist(), (scale * 127).tolist()
        ([[127, -127], [-64, 64]], [1.0, 4.0])
    """
    # A column of zeros has a scale too: the least that divides without overflow.
    scale = np.maximum(np.abs(weight).max(0), np.finfo(np.float32).tiny * 127) / np.float32(127)
    return np.rint(weight / scale).astype(np.int8), scale.astype(np.float32)


def scale_of(least: float, most: float, signed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return scale and zero point, of int8 or uint8, for a range of values, which is widened to hold 0.

    Example:
        >>> [v.tolist() for v in scale_of(-1.0, 127.0, signed=True)], scale_of(-1.0, 50.0, signed=False)[1].tolist()
        ([1.0, 0], 5)
    """
    least = min(least, 0.0)
    most = max(most, 0.0)
    if signed:
        scale = max(-least, most, 1e-12) / 127
        return np.array(scale, np.float32), np.array(0, np.int8)
    scale = max(most - least, 1e-12) / 255
    return np.array(scale, np.float32), np.array(round(-least / scale), np.uint8)
