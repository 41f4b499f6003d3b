import numpy as np
import onnx
import pytest
import torch
from support import SHAPE, make_model, open_session
from torch import nn
from torch.export import Dim
from transformers import BertConfig

from bskim_export.bundle.tensors import DYNAMIC, TENSORS
from bskim_export.checkpoint.description import describe
from bskim_export.export.onnx_graph import EXAMPLE_SIZES, Input, example_inputs, export_template
from bskim_export.export.weights import WeightStore


class TwoLinears(nn.Module):
    """A module of the size that exports in a second."""

    def __init__(self, seed: int):
        super().__init__()
        torch.manual_seed(seed)
        self.first = nn.Linear(6, 6)
        self.second = nn.Linear(6, 6)

    def forward(self, x, unused):
        return self.second(torch.relu(self.first(x)))


@pytest.fixture(scope="module")
def template():
    module = TwoLinears(0).eval()
    inputs = {name: Input(torch.zeros(4, 2, 6), {0: Dim("rows")}) for name in ("x", "unused")}
    return export_template(module, inputs, ("y",))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_template_computes_with_the_weights_of_the_module_that_it_is_written_for(seed, template, tmp_path):
    module = TwoLinears(seed).eval()
    with WeightStore(tmp_path / "weights.bin") as store:
        template.write(module, tmp_path / "x.onnx", store)
    x = torch.rand(3, 2, 6)
    (y,) = open_session(tmp_path / "x.onnx").run(["y"], {"x": x.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(y, module(x, None), atol=1e-6)


def test_inputs_that_nothing_uses_are_left_out(template):
    assert (template.inputs, template.outputs) == (["x"], ["y"])


def test_every_parameter_is_found_in_the_graph_and_no_two_are_mixed_up(template):
    places = template.origins.values()
    assert sorted(name for name, _ in places) == ["first.bias", "first.weight", "second.bias", "second.weight"]
    assert {name for name, transposed in places if transposed} == {"first.weight", "second.weight"}


def test_a_clone_can_be_changed_alone(template):
    clone = template.clone()
    clone.model.graph.name = "other"
    clone.origins.clear()
    assert template.model.graph.name != "other"
    assert template.origins


def test_examples_have_the_tables_axes_and_types(wordpiece):
    model = describe(make_model(BertConfig(**SHAPE), (1,)), wordpiece, "tiny")
    found = example_inputs(list(TENSORS), model, torch.float16)
    assert found["mask"].example.shape == (EXAMPLE_SIZES["windows"], EXAMPLE_SIZES["width"] * 32)
    assert found["residual"].example.dtype == torch.float16
    assert found["probe"].example.dtype == torch.int64
    assert found["diagonal"].example.shape == (EXAMPLE_SIZES["passage_blocks"], 4, 32, 32)
    for name, tensor in TENSORS.items():
        dynamic = [place for place, axis in enumerate(tensor.axes) if axis.split(" * ")[0] in DYNAMIC]
        assert sorted(found[name].axes) == dynamic, name


def test_no_two_dynamic_axes_look_alike_in_examples():
    assert EXAMPLE_SIZES.keys() == DYNAMIC.keys()
    assert len(set(EXAMPLE_SIZES.values())) == len(EXAMPLE_SIZES)
    assert not {0, 1} & set(EXAMPLE_SIZES.values())  # the exporter takes these for fixed


def test_files_are_valid(template, tmp_path):
    with WeightStore(tmp_path / "weights.bin") as store:
        template.write(TwoLinears(2), tmp_path / "x.onnx", store)
    onnx.checker.check_model(tmp_path / "x.onnx")
