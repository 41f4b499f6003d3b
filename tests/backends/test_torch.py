"""The torch backend's own: how it plans a graph, and the fused kernel in the place of attention."""

import onnx
import pytest
import torch
from support import run_in_triton_interpreter

from bskim_export.backends.torch import TorchBackend, plan
from bskim_export.backends.torch_fusion import find_attention
from bskim_export.bundle.manifest import Graph, read_manifest
from bskim_export.errors import BundleError

PROGRAM = """
import sys
import numpy as np
from bskim_export import QAPipeline
from bskim_export.backends.onnxruntime import OnnxRuntimeBackend
from bskim_export.backends.torch import TorchBackend
from bskim_export.data.question import sample
from bskim_export.data.squad import load_squad
questions = sample(load_squad(), 3, seed=12)
for folder in sys.argv[1:]:
    ours, theirs = (QAPipeline(folder, backend=b) for b in (TorchBackend(fused=True), OnnxRuntimeBackend()))
    windows = [w for q in questions for w in ours.windows(q.question, q.context, 192, 64)]
    dropped = 0
    for policy in (None, ours.policy):
        for a, b in zip(ours.orchestrator.run(windows, policy), theirs.orchestrator.run(windows, policy), strict=True):
            np.testing.assert_array_equal(a.dropped_after, b.dropped_after)
            np.testing.assert_allclose(a.start_logits, b.start_logits, atol=1e-4)
            dropped += int((b.dropped_after < 3).sum())
    assert dropped
"""


@pytest.fixture(scope="module")
def bundles(tiny_bundle):
    return [tiny_bundle("bert", (0, 1, 2), "diagonal"), tiny_bundle("albert", (0, 1, 2), "question")]


def test_every_attention_of_a_stage_is_found_and_no_other_softmax(bundles):
    for folder in bundles:
        manifest = read_manifest(folder)
        for stage in manifest.stages:
            nodes = onnx.load(folder / stage.graph.file, load_external_data=False).graph.node
            found = find_attention(nodes)
            assert len(found) == len(stage.layers)
            assert all((a.diagonal is not None) == (manifest.model.predictor == "diagonal") for a in found)
            if stage.skim is not None:
                assert find_attention(onnx.load(folder / stage.skim.file, load_external_data=False).graph.node) == []


def test_a_kernel_takes_the_place_of_the_map(bundles):
    folder = bundles[0]
    stage = read_manifest(folder).stages[1]
    graph = onnx.load(folder / stage.graph.file).graph
    weights = {i.name: torch.from_numpy(onnx.numpy_helper.to_array(i).copy()) for i in graph.initializer}
    whole, fused = plan(graph, weights, None), plan(graph, weights, lambda *a: None)
    softmax = find_attention(graph.node)[0]
    assert len(fused) < len(whole) - 15
    assert [softmax.context, softmax.diagonal] in [step.outputs for step in fused]


def test_bundles_run_the_same_with_the_kernel(bundles):
    pytest.importorskip("triton")
    run_in_triton_interpreter(PROGRAM, *bundles)


def test_an_unknown_operator_is_refused_by_name(tmp_path):
    node = onnx.helper.make_node("NonZero", ["x"], ["y"])
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph([node], "g", [value("x", 1, [2])], [value("y", 7, [1, None])])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "g.onnx")
    with pytest.raises(BundleError, match=r"does not know NonZero in .*g\.onnx"):
        TorchBackend().load(tmp_path, None, Graph("g.onnx", ["x"], ["y"]))
