"""Values of ONNX graphs: constants to add, and names, inputs and sizes to read.

The types of onnx_ir allow every name, input and shape to be missing. Graphs that the exporter has finished lack none of
those that are read here. The assertions say so, and would show an exporter that has changed.
"""

import numpy as np
import onnx_ir as ir


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


def name_of(value: ir.Value) -> str:
    """Return the name of an input, an output or an initializer of a graph, or of what a node of the exporter gives."""
    assert value.name is not None, "the exporter names every value"
    return value.name


def input_of(node: ir.Node, place: int) -> ir.Value:
    """Return an input that the node's operator requires."""
    value = node.inputs[place]
    assert value is not None, f"{node.op_type} requires its input {place}"
    return value


def inputs_of(node: ir.Node) -> list[ir.Value]:
    """Return the inputs of a node that leaves none of them out."""
    return [input_of(node, place) for place in range(len(node.inputs))]


def sizes_of(constant: ir.Value) -> tuple[int, ...]:
    """Return the shape of an initializer."""
    assert constant.shape is not None, f"{constant.name} is an initializer, whose shape is known"
    return constant.shape.numpy()


def set_constant(constant: ir.Value, array: np.ndarray) -> None:
    """Give an initializer other content of the same type and shape."""
    constant.const_value = ir.tensor(array, name=constant.name)
