"""TensorRT-RTX compiles for a compute capability without a GPU, so this is the real thing."""

import pytest

from bskim_export.backends.profiles import Profile
from bskim_export.bundle.manifest import read_manifest
from bskim_export.errors import BundleError

pytest.importorskip("tensorrt_rtx")
pytest.importorskip("polygraphy")
from bskim_export.backends.tensorrt import build_engine

TARGETS = [(8, 6), (8, 9), (12, 0)]
PROFILE = Profile((2, 4), (192, 384))


def compile_graph(folder, graph, target):
    shapes = PROFILE.shapes(graph.inputs, read_manifest(folder).model)
    return build_engine(folder / graph.file, shapes, compute_capability=target)


def test_a_stage_and_its_predictor_compile(tiny_bundle):
    folder = tiny_bundle("bert", (0, 1, 2), "question")
    stages = read_manifest(folder).stages
    for graph in (stages[1].graph, stages[1].skim):
        assert len(compile_graph(folder, graph, (8, 9))) > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("model", [("bert", (1,), "diagonal"), ("albert", (0, 1, 2), "question")], ids=lambda m: m[0])
@pytest.mark.parametrize("target", TARGETS)
def test_every_graph_of_a_bundle_compiles_for_every_target(model, target, tiny_bundle):
    folder = tiny_bundle(*model)
    manifest = read_manifest(folder)
    for graph in [manifest.dense, *(g for s in manifest.stages for g in (s.graph, s.skim) if g)]:
        assert len(compile_graph(folder, graph, target)) > 10_000


def test_turing_is_refused_in_fp32(tiny_bundle):
    folder = tiny_bundle("bert", (0, 1, 2), "question")
    with pytest.raises(BundleError, match=r"cannot compile.*standard error, above"):  # "FP32 GEMM is not supported"
        compile_graph(folder, read_manifest(folder).stages[1].graph, (7, 5))


def test_a_target_that_does_not_exist_is_refused(tiny_bundle):
    folder = tiny_bundle()
    with pytest.raises(BundleError, match="tensorrt-rtx cannot compile"):
        compile_graph(folder, read_manifest(folder).dense, (3, 5))
