"""TensorRT-RTX compiles for a compute capability without a GPU, so this is the real thing."""

import pytest

from bskim_export.backends.profiles import Profile
from bskim_export.bundle.bundle import Bundle
from bskim_export.errors import BundleError

pytest.importorskip("tensorrt_rtx")
pytest.importorskip("polygraphy")
from bskim_export.backends.tensorrt import build_engine

TARGETS = [(8, 6), (8, 9), (12, 0)]
PROFILE = Profile((2, 4), (192, 384))


def compile_graph(bundle, graph, target):
    shapes = PROFILE.shapes(graph.input_names, bundle.model)
    return build_engine(bundle.path(graph.file), shapes, compute_capability=target)


def test_a_stage_and_its_predictor_compile(tiny_bundle):
    bundle = Bundle.open(tiny_bundle("bert", (0, 1, 2), "question"))
    stage = bundle.manifest.stages[1]
    for graph in (stage.graph, stage.skim):
        assert len(compile_graph(bundle, graph, (8, 9))) > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("model", [("bert", (1,), "diagonal"), ("albert", (0, 1, 2), "question")], ids=lambda m: m[0])
@pytest.mark.parametrize("target", TARGETS)
def test_every_graph_of_a_bundle_compiles_for_every_target(model, target, tiny_bundle):
    bundle = Bundle.open(tiny_bundle(*model))
    for graph in bundle.manifest.graphs:
        assert len(compile_graph(bundle, graph, target)) > 10_000


def test_turing_is_refused_in_fp32(tiny_bundle):
    bundle = Bundle.open(tiny_bundle("bert", (0, 1, 2), "question"))
    with pytest.raises(BundleError, match=r"cannot compile.*standard error, above"):  # "FP32 GEMM is not supported"
        compile_graph(bundle, bundle.manifest.stages[1].graph, (7, 5))


def test_a_target_that_does_not_exist_is_refused(tiny_bundle):
    bundle = Bundle.open(tiny_bundle())
    with pytest.raises(BundleError, match="tensorrt-rtx cannot compile"):
        compile_graph(bundle, bundle.manifest.dense, (3, 5))
