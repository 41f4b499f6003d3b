"""Finds the attention of a graph, so that one kernel can stand in for it.

That is every node from the packed query, key and value to the context on the grid, and to the diagonal blocks of the
map where a predictor reads them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx


@dataclass(frozen=True)
class Attention:
    """One attention of a graph, as names of its values.

    query, key, value: [N, k, heads, d], packed; table, mask: the graph's inputs; scaling: an initializer
    context: [B * M, k, heads * d]
    probe, diagonal: where the map's diagonal blocks are taken from, and they themselves; None without them
    """

    query: str
    key: str
    value: str
    table: str
    mask: str
    scaling: str
    context: str
    probe: str | None = None
    diagonal: str | None = None

    @property
    def inputs(self) -> list[str]:
        """Return the values that it is computed from."""
        return [self.query, self.key, self.value, self.table, self.mask, self.scaling, *filter(None, [self.probe])]

    @property
    def outputs(self) -> list[str]:
        """Return the values that it computes."""
        return [self.context, *filter(None, [self.diagonal])]


class _Graph:
    """The node that makes each value, and the nodes that use it."""

    def __init__(self, nodes: Sequence[onnx.NodeProto]):
        self.makers = {name: node for node in nodes for name in node.output}
        self.users: dict[str, list[onnx.NodeProto]] = {}
        for node in nodes:
            for name in node.input:
                self.users.setdefault(name, []).append(node)

    def up(self, name: str, operator: str, *more: str) -> onnx.NodeProto:
        """Walk up from a value through nodes of these kinds, by their first inputs; return the last node.

        Raises:
            LookupError: one of them is of another kind.
        """
        node = self.makers.get(name)
        if node is None or node.op_type != operator:
            raise LookupError(f"{name} is not made by {operator}")
        return self.up(node.input[0], *more) if more else node

    def down(self, name: str, operator: str) -> onnx.NodeProto:
        """Return the one user of a value that is of this kind.

        Raises:
            LookupError: there is none, or there are several.
        """
        found = [node for node in self.users.get(name, []) if node.op_type == operator]
        if len(found) != 1:
            raise LookupError(f"{name} has {len(found)} users {operator}")
        return found[0]


def find_attention(nodes: Sequence[onnx.NodeProto]) -> list[Attention]:
    """Return every attention that one kernel can compute. A softmax of another form is left as it is."""
    graph = _Graph(nodes)
    found = []
    for node in nodes:
        if node.op_type == "Softmax":
            try:
                found.append(_match(graph, node))
            except LookupError:
                continue
    return found


def _match(graph: _Graph, softmax: onnx.NodeProto) -> Attention:
    """Return the attention around a softmax.

    Raises:
        LookupError: a node around it is not as `model.attention.GridAttention` exports it.
    """
    # Upwards, the scores: query times key, scaled, and the mask added.
    add = graph.up(softmax.input[0], "Add")
    scaled = graph.up(add.input[0], "Mul")
    product = graph.up(scaled.input[0], "MatMul")
    # Query and key are packed above a Gather, which lays them out on the grid.
    laid_out = ("Transpose", "Reshape", "Gather")
    query, key = (graph.up(name, *laid_out) for name in product.input)
    # Downwards, the context: the softmax times value, a block for each cell.
    mixed = graph.down(softmax.output[0], "MatMul")
    value = graph.up(mixed.input[1], *laid_out)
    context = graph.down(graph.down(mixed.output[0], "Transpose").output[0], "Reshape")
    # A kernel has one table: the three must have been laid out by the same.
    tables = {graph.up(node.input[1], "Reshape").input[0] for node in (query, key, value)}
    if len(tables) != 1:
        raise LookupError("query, key and value are laid out differently")
    # A second user of the map takes its diagonal blocks, for a predictor.
    probe: str | None = None
    diagonal: str | None = None
    if len(graph.users[softmax.output[0]]) > 1:
        taken = graph.down(graph.down(softmax.output[0], "Reshape").output[0], "Gather")
        probe = taken.input[1]
        diagonal = taken.output[0]
    return Attention(
        query=query.input[0],
        key=key.input[0],
        value=value.input[0],
        table=tables.pop(),
        mask=graph.up(add.input[1], "Unsqueeze").input[0],
        scaling=scaled.input[1],
        context=context.output[0],
        probe=probe,
        diagonal=diagonal,
    )
