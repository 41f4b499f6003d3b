"""LayerNormalization split into its parts: the form that ONNX Runtime's CPU kernels are fast at."""

import numpy as np
import onnx_ir as ir
from onnx_ir.convenience import replace_nodes_and_values

from bskim_export.export.graph_values import add_constant, inputs_of


def split_layer_norms(model: ir.Model) -> None:
    """Make each LayerNormalization the elementary operations that it stands for.

    ONNX Runtime 1.31.1 adds up a row number by number for LayerNormalization, and vectorises its parts: they take 30 %
    of the time on one core (160 x 384, AVX-512). It does not put them together again as long as the square is a product
    and not a power. OpenVINO does, into the kernel that it has for the one.
    """
    graph = model.graph
    for norm in [n for n in graph if n.op_type == "LayerNormalization"]:
        hidden, scale, bias = inputs_of(norm)
        axis = _constant(graph, "last_axis", np.array([-1]))
        epsilon = np.array(norm.attributes["epsilon"].as_float(), np.float32)
        least = _constant(graph, f"epsilon_{epsilon}", epsilon)
        # Centre each row.
        mean = ir.node("ReduceMean", [hidden, axis])
        centred = ir.node("Sub", [hidden, mean.outputs[0]])
        # Divide it by its standard deviation.
        square = ir.node("Mul", [centred.outputs[0], centred.outputs[0]])
        variance = ir.node("ReduceMean", [square.outputs[0], axis])
        positive = ir.node("Add", [variance.outputs[0], least])
        deviation = ir.node("Sqrt", positive.outputs)
        even = ir.node("Div", [centred.outputs[0], deviation.outputs[0]])
        # Apply what was learnt.
        scaled = ir.node("Mul", [even.outputs[0], scale])
        moved = ir.node("Add", [scaled.outputs[0], bias])
        new = [mean, centred, square, variance, positive, deviation, even, scaled, moved]
        replace_nodes_and_values(graph, norm, [norm], new, norm.outputs, moved.outputs)


def _constant(graph: ir.Graph, name: str, array: np.ndarray) -> ir.Value:
    """Return a graph's initializer of this name, which is made for the first that asks."""
    known = graph.initializers
    return known[name] if name in known else add_constant(graph, name, array)
