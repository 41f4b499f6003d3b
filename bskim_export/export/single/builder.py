"""Writes an ONNX graph operator by operator, and puts whole graphs into it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from bskim_export.bundle.tensors import TensorSpec
from bskim_export.export.graph_values import add_constant, name_of
from bskim_export.export.onnx_graph import OPSET

Operand = ir.Value | int | float | np.floating[Any] | npt.NDArray[Any]
"""A value of the graph, or a constant: whole numbers become int64, others float32."""

_TYPES = {
    "int64": ir.TensorType(ir.DataType.INT64),
    "bool": ir.TensorType(ir.DataType.BOOL),
    "float32": ir.TensorType(ir.DataType.FLOAT),
}


class Result(NamedTuple):
    """A result of a branch.

    dtype, axes: see `TensorSpec`; None for a size without a name
    """

    value: ir.Value
    dtype: str
    axes: Sequence[int | str | None]


Branch = Callable[[], Sequence[Result]]


class Builder:
    """A graph that grows.

    Args:
        inputs: in order

    Example:
        >>> b = Builder([TensorSpec("x", "int64", ["n"])])
        >>> b.output(TensorSpec("y", "int64", ["n"]), b.op("Add", b.inputs["x"], 1))
        >>> [node.op_type for node in b.graph]
        ['Add', 'Identity']
    """

    def __init__(self, inputs: Sequence[TensorSpec]):
        values = [ir.Value(name=s.name, type=_TYPES[s.dtype], shape=ir.Shape(s.axes)) for s in inputs]
        self.graph = ir.Graph(values, [], nodes=[], opset_imports={"": OPSET}, name="skim")
        self.inputs = {name_of(value): value for value in values}
        self._nodes: ir.Graph = self.graph
        self._written = 0
        self._constants: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = {}
        self._weights: dict[tuple[object, ...], ir.Value] = {}

    def op(self, kind: str, *operands: Operand, **attributes: Any) -> ir.Value:
        """Append an operator of one result, and return that."""
        return self._append(ir.node(kind, [self.value(x) for x in operands], attributes or None))[0]

    def choose(self, condition: ir.Value, then: Branch, otherwise: Branch) -> Sequence[ir.Value]:
        """Return what one of two branches gives; only that one runs.

        Args:
            condition: bool, of one element
            then, otherwise: append what belongs to a branch, and return its results, of the same types in both
        """
        outside = self._nodes
        branches = {}
        for name, make in (("then_branch", then), ("else_branch", otherwise)):
            self._nodes = ir.Graph([], [], nodes=[], name=name)
            for found in make():
                producer = found.value.producer()
                own = producer is not None and producer.graph is self._nodes
                result = found.value if own else self.op("Identity", found.value)
                result.type, result.shape = _TYPES[found.dtype], ir.Shape(found.axes)
                self._nodes.outputs.append(result)
            branches[name] = self._nodes
        self._nodes = outside
        return self._append(ir.node("If", [condition], branches, num_outputs=len(branches["then_branch"].outputs)))

    def value(self, operand: Operand) -> ir.Value:
        """Return a value of the graph: a constant becomes an initializer, one that is there already is taken again."""
        if isinstance(operand, ir.Value):
            return operand
        array = np.asarray(operand)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = add_constant(self.graph, f"constant_{len(self._constants)}", array)
        return self._constants[key]

    def splice(self, model: ir.Model, prefix: str, feeds: Mapping[str, ir.Value]) -> dict[str, ir.Value]:
        """Move the nodes of a graph into this one, and return its outputs by name.

        Args:
            model: empty afterwards
            prefix: of the names of all that comes from it; weights keep theirs, so that they are stored once
            feeds: what its inputs become; others are ignored
        """
        theirs = model.graph
        outputs = {name_of(value): value for value in theirs.outputs}
        for domain, opset in theirs.opset_imports.items():  # INT8 has operators of ONNX Runtime's own
            self.graph.opset_imports[domain] = max(opset, self.graph.opset_imports.get(domain, 0))
        theirs.outputs.clear()
        for value in theirs.inputs:
            value.replace_all_uses_with(feeds[name_of(value)])
        for name, value in list(theirs.initializers.items()):
            del theirs.initializers[name]
            key = _identity(value)
            if key in self._weights:
                value.replace_all_uses_with(self._weights[key])
                continue
            value.name = f"{prefix}/{name}"
            self.graph.register_initializer(value)
            self._weights[key] = value
        nodes = list(theirs)
        theirs.remove(nodes)
        for node in nodes:
            node.name = f"{prefix}/{node.name}"
            for value in node.outputs:
                value.name = f"{prefix}/{value.name}"
                value.shape = _renamed(value.shape, prefix)
        self._nodes.extend(nodes)
        return outputs

    def output(self, spec: TensorSpec, value: ir.Value) -> None:
        """Make a value an output of the graph."""
        out = self.op("Identity", value)
        out.name, out.type, out.shape = spec.name, _TYPES[spec.dtype], ir.Shape(spec.axes)
        self.graph.outputs.append(out)

    def _append(self, node: ir.Node) -> Sequence[ir.Value]:
        # Graphs number their values each from 0; those of a branch must not be named as those around it.
        for output in node.outputs:
            output.name = f"glue_{self._written}"
            self._written += 1
        self._nodes.append(node)
        return node.outputs

    # What is written often.

    def flat(self, value: ir.Value) -> ir.Value:
        """Return a tensor as one row."""
        return self.op("Reshape", value, np.array([-1]))

    def places(self, condition: ir.Value) -> ir.Value:
        """Return int64 [n], where a bool tensor of one axis is true."""
        return self.flat(self.op("NonZero", condition))

    def number(self, condition: ir.Value) -> ir.Value:
        """Return a bool tensor as int64."""
        return self.op("Cast", condition, to=ir.DataType.INT64)

    def some(self, condition: ir.Value) -> ir.Value:
        """Return whether any of the last axis is true: bool [..., n] -> bool [...]."""
        return self.op("ReduceMax", condition, np.array([-1]), keepdims=0)

    def column(self, row: ir.Value) -> ir.Value:
        """Return [n] as [n, 1]."""
        return self.op("Unsqueeze", row, np.array([1]))

    def size(self, value: ir.Value, axis: int) -> ir.Value:
        """Return one size of a tensor, int64 [1]."""
        return self.op("Shape", value, start=axis, end=axis + 1)

    def shape(self, *sizes: Operand) -> ir.Value:
        """Return a shape, int64 [n], of sizes of int64 [1] or of numbers."""
        return self.op("Concat", *(s if isinstance(s, ir.Value) else np.array([s]) for s in sizes), axis=0)

    def count_up(self, size: ir.Value) -> ir.Value:
        """Return 0, 1, ..., size - 1; size: int64 [1]."""
        return self.op("Range", 0, self.op("Squeeze", size, np.array([0])), 1)

    def filled(self, shape: ir.Value, number: npt.NDArray[Any]) -> ir.Value:
        """Return a tensor of one number; number: [1], of the type wanted."""
        return self.op("ConstantOfShape", shape, value=ir.tensor(number))


def _renamed(shape: ir.Shape | None, prefix: str) -> ir.Shape | None:
    """Return a shape whose dynamic axes have names of their own: runtimes take those of one name for equal."""
    if shape is None:
        return None
    return ir.Shape([f"{prefix}/{d.value}" if isinstance(d, ir.SymbolicDim) and d.value else d for d in shape])


def _identity(value: ir.Value) -> tuple[object, ...]:
    """Return what two initializers have in common that are the same weights; ALBERT's layers share theirs."""
    tensor = value.const_value
    if isinstance(tensor, ir.ExternalTensor):
        return (tensor.offset, tensor.length, tensor.dtype, str(tensor.shape))
    return (id(value),)
