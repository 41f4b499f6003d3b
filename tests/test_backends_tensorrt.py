"""TensorRT-RTX compiles for a compute capability without a GPU, so this is the real thing."""

import pytest

from bskim_export.backends.profiles import Profile
from bskim_export.bundle import read_manifest
from bskim_export.errors import BundleError

pytest.importorskip("tensorrt_rtx")
pytest.importorskip("polygraphy")
from bskim_export.backends.tensorrt import build_engine

TARGETS = [(7, 5), (8, 6), (8, 9), (12, 0)]


@pytest.mark.parametrize("model", [("bert", (1,), "diagonal"), ("albert", (0, 1, 2), "question")], ids=lambda m: m[0])
@pytest.mark.parametrize("target", TARGETS)
def test_every_graph_of_a_bundle_compiles(model, target, tiny_bundle):
    folder = tiny_bundle(*model)
    manifest, profile = read_manifest(folder), Profile((2, 4), (192, 384))
    stage = manifest.stages[1]
    for graph in [g for g in (stage.graph, manifest.stages[0].skim, manifest.dense) if g]:
        shapes = profile.shapes(graph.inputs, manifest.model)
        assert len(build_engine(folder / graph.file, shapes, compute_capability=target)) > 10_000


def test_a_target_that_does_not_exist_is_refused(tiny_bundle):
    folder = tiny_bundle()
    manifest = read_manifest(folder)
    shapes = Profile.of(manifest.model).shapes(manifest.dense.inputs, manifest.model)
    with pytest.raises(BundleError, match="tensorrt-rtx cannot compile"):
        build_engine(folder / manifest.dense.file, shapes, compute_capability=(3, 5))
