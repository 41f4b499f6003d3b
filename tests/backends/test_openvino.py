"""The openvino backend's own: the types at the boundaries of graphs that are computed in bf16, on any processor."""

import pytest

from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.tensors import BETWEEN_ENGINES

pytest.importorskip("openvino")
import openvino

from bskim_export.backends.openvino import _with_narrow_boundaries


def test_tensors_between_graphs_are_bf16_and_those_of_the_host_are_not(tiny_bundle):
    bundle = Bundle.open(tiny_bundle())
    names = {"i64": "int64", "f32": "float32"}
    for graph in bundle.manifest.graphs:
        model = _with_narrow_boundaries(openvino.Core().read_model(bundle.path(graph.file)))
        found = {port.get_any_name(): port.get_element_type().to_string() for port in [*model.inputs, *model.outputs]}
        for tensor in graph.inputs + graph.outputs:
            wanted = "bf16" if tensor.name in BETWEEN_ENGINES else tensor.dtype
            assert names.get(found[tensor.name], found[tensor.name]) == wanted, (graph.file, tensor.name)
