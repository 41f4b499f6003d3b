"""What a graph need not do if its batch is one window: lay blocks out on a grid, and compute shapes as it runs.

Every operator that is left out saves a microsecond or two, as much as its work on a block costs.
"""

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from bskim_export.export.graph_values import add_constant, input_of, inputs_of
from bskim_export.export.passes.one_window_attention import attend_in_one_node

IN_ORDER = ("table", "back")
"""Inputs that are 0, 1, 2, ... then."""
_ELEMENTWISE = ("Add", "Sub", "Mul", "Div")


def fit_to_one_window(model: ir.Model) -> None:
    """Rewrite a stage or predictor, in place: the axis "windows" has size 1.

    Inputs that nothing reads any more are left out. A stage may get a new one, `one_window_attention.LENGTH`.
    """
    graph = model.graph
    _leave_out_gathers(graph)
    _fix_shapes(graph)
    _leave_out_expansions(graph)
    attend_in_one_node(graph)
    _join_reshapes(graph)
    RemoveUnusedNodesPass()(model)
    for value in [value for value in graph.inputs if not value.uses()]:
        graph.inputs.remove(value)


def _leave_out_gathers(graph: ir.Graph) -> None:
    """Take out what gathers along the first axis by an input that is in order, or by a reshaped one."""
    numbers = {value for value in graph.inputs if value.name in IN_ORDER}
    for node in list(graph):
        if node.op_type == "Reshape" and input_of(node, 0) in numbers:
            numbers.add(node.outputs[0])
        if node.op_type == "Gather" and input_of(node, 1) in numbers and node.attributes.get_int("axis", 0) == 0:
            node.outputs[0].replace_all_uses_with(input_of(node, 0))
            graph.remove(node, safe=True)


def _fix_shapes(graph: ir.Graph) -> None:
    """Give reshapes a constant where at most one size of the result is not known."""
    for node in graph:
        shape = node.outputs[0].shape
        if node.op_type != "Reshape" or input_of(node, 1).is_initializer() or shape is None:
            continue
        sizes = [1 if size == "windows" else size for size in _sizes(shape)]
        if sum(not isinstance(size, int) for size in sizes) <= 1:
            constant = np.array([size if isinstance(size, int) else -1 for size in sizes])
            node.replace_input_with(1, add_constant(graph, f"{node.outputs[0].name}_shape", constant))


def _leave_out_expansions(graph: ir.Graph) -> None:
    """Take out what expands an operand to the shape of the other, which the operator does by itself."""
    for node in list(graph):
        if node.op_type != "Expand" or node.outputs[0].shape is None:
            continue
        expanded = node.outputs[0]
        users = [use.node for use in expanded.uses()]
        if all(user.op_type in _ELEMENTWISE and _other_has_shape(user, expanded) for user in users):
            expanded.replace_all_uses_with(input_of(node, 0))
            graph.remove(node, safe=True)


def _join_reshapes(graph: ir.Graph) -> None:
    """Take out a reshape whose result is only reshaped again."""
    for node in graph:
        while node.op_type == "Reshape" and (before := input_of(node, 0).producer()) and before.op_type == "Reshape":
            node.replace_input_with(0, input_of(before, 0))


def _other_has_shape(user: ir.Node, expanded: ir.Value) -> bool:
    others = [value for value in inputs_of(user) if value is not expanded]
    return bool(others) and others[0].shape is not None and others[0].shape == expanded.shape


def _sizes(shape: ir.Shape) -> list[int | str | None]:
    return [size if isinstance(size, int) else size.value for size in shape]
