"""The attention of one window as one node: standard ONNX, opset 23.

ONNX Runtime's kernel for it never writes the attention map to memory, which is most of what attention costs on a CPU.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from onnx_ir.convenience import replace_nodes_and_values

from bskim_export.export.graph_values import add_constant, input_of

LENGTH = "length"
"""The input that says how many tokens the live blocks hold: int64 [1]. Those of padding come last."""
OPSET = 23


def attend_in_one_node(graph: ir.Graph) -> None:
    """Make each attention whose map nobody else reads one node. It looks at the first `length` tokens, an input that
    the graph gets, and needs no mask."""
    found = [_find(node) for node in graph if node.op_type == "Softmax"]
    attentions = [one for one in found if one is not None]
    if not attentions:
        return
    length = ir.Value(name=LENGTH, type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape([1]))
    graph.inputs.append(length)
    for attention in attentions:
        _replace(graph, attention, length)
    graph.opset_imports[""] = max(OPSET, graph.opset_imports[""])


@dataclass(frozen=True)
class _Attention:
    """What stands for an attention in a graph of the exporter.

    query, key, value: [blocks, block_size, heads, head size]
    scale: of the products
    context: the node that gives the result, [blocks, block_size, heads * head size]
    """

    query: ir.Value
    key: ir.Value
    value: ir.Value
    scale: float
    context: ir.Node


def _find(softmax: ir.Node) -> _Attention | None:
    """Return the attention that a Softmax is part of; None for another Softmax, or if something else reads the map."""
    uses = softmax.outputs[0].uses()
    masked = _producer(softmax, 0, "Add")
    scaled = masked and _producer(masked, 0, "Mul")
    products = scaled and _producer(scaled, 0, "MatMul")
    weighted = next(iter(uses)).node
    if scaled is None or products is None or len(uses) != 1 or weighted.op_type != "MatMul":
        return None
    scale = input_of(scaled, 1).const_value
    rows = [_laid_out(products, 0), _laid_out(products, 1), _laid_out(weighted, 1)]
    back = _only_user(weighted, "Transpose")
    context = back and _only_user(back, "Reshape")
    if scale is None or scale.size != 1 or context is None or any(row is None for row in rows):
        return None
    query, key, value = (row for row in rows if row is not None)
    return _Attention(query, key, value, float(scale.numpy().item()), context)


def _replace(graph: ir.Graph, found: _Attention, length: ir.Value) -> None:
    heads, size = found.query.shape[2:] if found.query.shape is not None else (None, None)
    assert isinstance(heads, int), "the exporter knows it"
    assert isinstance(size, int), "the exporter knows it"
    name = found.context.outputs[0].name
    in_a_row = add_constant(graph, f"{name}_in_a_row", np.array([1, -1, heads * size]))
    first, axis = (add_constant(graph, f"{name}_{what}", np.array([n])) for what, n in (("first", 0), ("axis", 1)))
    # Every token asks, and is answered by those that are there.
    query, key, value = (ir.node("Reshape", [row, in_a_row]) for row in (found.query, found.key, found.value))
    keys, values = (ir.node("Slice", [row.outputs[0], first, length, axis]) for row in (key, value))
    attention = ir.node(
        "Attention",
        [query.outputs[0], keys.outputs[0], values.outputs[0]],
        {"q_num_heads": heads, "kv_num_heads": heads, "scale": found.scale},
    )
    context = ir.node("Reshape", [attention.outputs[0], input_of(found.context, 1)])
    new = [query, key, value, keys, values, attention, context]
    old = found.context
    context.outputs[0].shape, context.outputs[0].type = old.outputs[0].shape, old.outputs[0].type
    replace_nodes_and_values(graph, old, [old], new, old.outputs, context.outputs)


def _producer(node: ir.Node, place: int, kind: str) -> ir.Node | None:
    producer = input_of(node, place).producer()
    return producer if producer is not None and producer.op_type == kind else None


def _only_user(node: ir.Node, kind: str) -> ir.Node | None:
    users = [use.node for use in node.outputs[0].uses()]
    return users[0] if [user.op_type for user in users] == [kind] else None


def _laid_out(product: ir.Node, place: int) -> ir.Value | None:
    """Return the packed rows that an operand of a product was laid out from, [blocks, block_size, heads, head size]."""
    transposed = _producer(product, place, "Transpose")
    laid = transposed and _producer(transposed, 0, "Reshape")
    rows = input_of(laid, 0) if laid else None
    return rows if rows is not None and rows.shape is not None and len(rows.shape) == 4 else None
