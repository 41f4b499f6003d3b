"""Forms of a graph that ONNX Runtime's CPU kernels are fast at. Each pass changes a graph and not what it computes."""

import numpy as np
import onnx_ir as ir
from onnx_ir.convenience import replace_nodes_and_values
from onnx_ir.passes.common import RemoveUnusedNodesPass

from bskim_export.export.onnx_graph import add_constant


def fuse_products(model: ir.Model) -> None:
    """Make each product of a dequantised activation with a dequantised weight, and a bias added to it, one node.

    The node is ONNX Runtime's own. It finds the product by itself, but not the bias; and the activation function behind
    is a third faster without one.
    """
    graph = model.graph
    for product in [n for n in graph if n.op_type == "MatMul"]:
        dequantised = [value.producer() for value in product.inputs]
        if not all(n and n.op_type == "DequantizeLinear" for n in dequantised):
            continue
        (read, read_scale, zero_point), (weight, weight_scale) = (n.inputs for n in dequantised)
        inputs = [read, weight, read_scale, weight_scale, zero_point]
        old = [product]
        if (addition := bias_behind(product)) is not None:
            no_zero_point = None
            inputs += [no_zero_point, addition.inputs[1]]
            old.append(addition)
        fused = ir.node("MatMulIntegerToFloat", inputs, domain="com.microsoft")
        replace_nodes_and_values(graph, old[-1], old, [fused], old[-1].outputs, fused.outputs)
    RemoveUnusedNodesPass()(model)
    model.opset_imports["com.microsoft"] = 1


def split_layer_norms(model: ir.Model) -> None:
    """Make each LayerNormalization the elementary operations that it stands for.

    ONNX Runtime 1.31.1 adds up a row number by number for LayerNormalization, and vectorises its parts: they take 30 %
    of the time on one core (160 x 384, AVX-512). It does not put them together again as long as the square is a product
    and not a power. OpenVINO does, into the kernel that it has for the one.
    """
    graph = model.graph
    for norm in [n for n in graph if n.op_type == "LayerNormalization"]:
        read, scale, bias = norm.inputs
        axis = _constant(graph, "last_axis", np.array([-1]))
        epsilon = np.array(norm.attributes["epsilon"].as_float(), np.float32)
        least = _constant(graph, f"epsilon_{epsilon}", epsilon)
        mean = ir.node("ReduceMean", [read, axis])
        centred = ir.node("Sub", [read, mean.outputs[0]])
        square = ir.node("Mul", [centred.outputs[0], centred.outputs[0]])
        variance = ir.node("ReduceMean", [square.outputs[0], axis])
        positive = ir.node("Add", [variance.outputs[0], least])
        deviation = ir.node("Sqrt", positive.outputs)
        even = ir.node("Div", [centred.outputs[0], deviation.outputs[0]])
        scaled = ir.node("Mul", [even.outputs[0], scale])
        moved = ir.node("Add", [scaled.outputs[0], bias])
        new = [mean, centred, square, variance, positive, deviation, even, scaled, moved]
        replace_nodes_and_values(graph, norm, [norm], new, norm.outputs, moved.outputs)


def _constant(graph: ir.Graph, name: str, array: np.ndarray) -> ir.Value:
    known = graph.initializers
    return known[name] if name in known else add_constant(graph, name, array)


def bias_behind(product: ir.Node) -> ir.Node | None:
    """Return the addition of a vector to a product that nothing else reads."""
    users = list(product.outputs[0].uses())
    if len(users) != 1 or users[0].node.op_type != "Add" or users[0].idx != 0:
        return None
    other = users[0].node.inputs[1]
    return users[0].node if other.is_initializer() and len(other.shape) == 1 else None
