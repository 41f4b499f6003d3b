"""The torch backend's own: how it plans a graph, and the fused kernel in the place of attention."""

import shutil

import onnx
import pytest
import torch
from support import run_in_triton_interpreter

from bskim_export.backends.torch import TorchBackend, plan
from bskim_export.backends.torch_fusion import find_attention
from bskim_export.bundle.bundle import Bundle
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
    windows = [w for q in questions for w in ours.maker(q.question, q.context, 192, 64)]
    dropped = 0
    for policy in (None, ours.policy):
        results = (p.runner.run(windows, policy) for p in (ours, theirs))
        for window, a, b in zip(windows, *results, strict=True):
            np.testing.assert_array_equal(a.dropped_after, b.dropped_after)
            real = slice(window.length)
            np.testing.assert_allclose(a.start_logits[real], b.start_logits[real], atol=1e-4)
            dropped += int((b.dropped_after < 3).sum())
    assert dropped
"""


@pytest.fixture(scope="module")
def bundles(tiny_bundle):
    models = [("bert", (0, 1, 2), "diagonal"), ("albert", (0, 1, 2), "question")]
    return [Bundle.open(tiny_bundle(*model)) for model in models]


def nodes(bundle, graph):
    return onnx.load(bundle.path(graph.file), load_external_data=False).graph.node


def test_every_attention_of_a_stage_is_found_and_no_other_softmax(bundles):
    for bundle in bundles:
        for stage in bundle.manifest.stages:
            found = find_attention(nodes(bundle, stage.graph))
            assert len(found) == len(stage.layers)
            assert all((a.diagonal is not None) == (bundle.model.predictor == "diagonal") for a in found)
            if stage.skim is not None:
                assert find_attention(nodes(bundle, stage.skim)) == []


def test_a_kernel_takes_the_place_of_the_map(bundles):
    bundle = bundles[0]
    graph = onnx.load(bundle.path(bundle.manifest.stages[1].graph.file)).graph
    weights = {i.name: torch.from_numpy(onnx.numpy_helper.to_array(i).copy()) for i in graph.initializer}
    whole = plan(graph, weights, None)
    fused = plan(graph, weights, lambda *a: None)
    softmax = find_attention(graph.node)[0]
    assert len(fused) < len(whole) - 15
    assert [softmax.context, softmax.diagonal] in [step.outputs for step in fused]


def test_bundles_run_the_same_with_the_kernel(bundles):
    pytest.importorskip("triton")
    run_in_triton_interpreter(PROGRAM, *(b.folder for b in bundles))


def test_an_unknown_operator_is_refused_by_name(tiny_bundle, tmp_path):
    folder = shutil.copytree(tiny_bundle(), tmp_path / "bundle")
    graph = Bundle.open(folder).manifest.stages[0].graph
    model = onnx.load(folder / graph.file, load_external_data=False)
    model.graph.node.append(onnx.helper.make_node("NonZero", ["mask"], ["real"]))
    onnx.save(model, folder / graph.file)
    with pytest.raises(BundleError, match=r"does not know NonZero in .*stage_00\.onnx"):
        TorchBackend().load(Bundle.open(folder, verify=False), graph)
