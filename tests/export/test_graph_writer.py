import onnx
import pytest
import torch
from torch import nn
from torch.export import Dim

from bskim_export.export import graph_writer
from bskim_export.export.graph_writer import GraphWriter, Written
from bskim_export.export.int8.ranges import ActivationStats
from bskim_export.export.onnx_graph import Input
from bskim_export.export.weights import WeightStore

INPUTS = {"x": Input(torch.zeros(4, 2, 6), {0: Dim("rows")})}


@pytest.fixture
def exports(monkeypatch) -> list[nn.Module]:
    """The modules that were exported, in order; others were only written."""
    modules = []
    original = graph_writer.cached_template

    def export(module, inputs, outputs):
        modules.append(module)
        return original(module, inputs, outputs)

    monkeypatch.setattr(graph_writer, "cached_template", export)
    return modules


def test_modules_of_one_kind_are_exported_once_and_written_each(exports, tmp_path):
    first, second, other = (nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6)).eval() for _ in range(3))
    with WeightStore(tmp_path / "weights.bin") as store:
        writer = GraphWriter(tmp_path, store, "fp32", {})
        written = [
            writer.write(kind, module, INPUTS, ("y",), file)
            for kind, module, file in (
                (("a",), first, "0.onnx"),
                (("a",), second, "1.onnx"),
                (("b",), other, "2.onnx"),
            )
        ]
    assert exports == [first, other]
    assert written == [Written(["x"], ["y"], None)] * 3
    assert (writer.files, writer.written) == (["0.onnx", "1.onnx", "2.onnx"], 3)
    files = [(tmp_path / name).read_bytes() for name in writer.files]
    assert len(set(files)) == 3  # their weights are in different places


def test_an_int8_graph_is_written_in_two_forms_and_counts_once(tmp_path):
    module = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6)).eval()
    ones = torch.ones(6).numpy()
    stats = {id(module[0].weight): ActivationStats(ones, -1.0, 1.0, torch.zeros(0, dtype=torch.int64).numpy())}
    with WeightStore(tmp_path / "weights.bin") as store:
        writer = GraphWriter(tmp_path, store, "int8", stats)
        written = writer.write(("a",), module, INPUTS, ("y",), "0.onnx")
    assert written.symmetric == "0.symmetric.onnx"
    assert (writer.files, writer.written) == (["0.onnx", "0.symmetric.onnx"], 1)
    fused, symmetric = ([n.op_type for n in onnx.load(tmp_path / name).graph.node] for name in writer.files)
    assert "MatMulIntegerToFloat" in fused
    assert symmetric.count("QuantizeLinear") == 1  # the other weight has no statistics
    assert symmetric.count("MatMul") == 2
