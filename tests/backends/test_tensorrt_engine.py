"""Engines in a bundle: built ahead of time without a GPU, so this is the real thing as far as it goes."""

import errno
import json
from dataclasses import replace

import pytest

from bskim_export import QAPipeline, export_bundle
from bskim_export.bundle.manifest import read_manifest
from bskim_export.data.question import sample
from bskim_export.errors import BundleError, InputError

pytest.importorskip("tensorrt_rtx")
pytest.importorskip("polygraphy")
from bskim_export.backends import tensorrt_engine
from bskim_export.backends.nvidia import compute_capability
from bskim_export.backends.tensorrt import load_polygraphy
from bskim_export.backends.tensorrt_engine import TensorRtBackend, TensorRtEngine, find_or_build, make_set

pytestmark = pytest.mark.skipif(compute_capability() is not None, reason="about machines without a GPU")


@pytest.fixture(scope="module")
def compiled(tiny, squad, tmp_path_factory):
    """A bundle with engines for one kind of GPU."""
    checkpoint, out = tiny("bert", (1,), "question"), tmp_path_factory.mktemp("compiled") / "engines"
    engines = make_set(checkpoint.describe(), "tensorrt-rtx", (8, 9), max_batch_size=2)
    export_bundle(checkpoint, out, questions=sample(squad, 2), engines=[engines])
    return out


@pytest.fixture
def stage(compiled):
    """One of its graphs: the engine's path, and a function that finds or builds it."""
    manifest = read_manifest(compiled)
    engines, graph = manifest.engines[0], manifest.stages[1].graph
    path = compiled / engines.folder / "stage_01.engine"

    def find(**changes):
        return find_or_build(compiled, manifest, graph, replace(engines, **changes))

    find()
    return path, find


def answers(folder):
    return QAPipeline(folder)(question="Who wrote it?", context="It was written by Ada Lovelace.")["answer"]


def test_every_graph_has_an_engine_and_the_bundle_answers_without_a_gpu(compiled, squad):
    manifest = read_manifest(compiled)
    folder = compiled / manifest.engines[0].folder
    assert {p.stem for p in folder.glob("*.engine")} == {"stage_00", "stage_01", "skim_01", "dense"}
    qa = QAPipeline(compiled)
    question = sample(squad, 1, seed=3)[0]
    assert qa(question=question.question, context=question.context)["answer"]
    assert "this machine has no NVIDIA GPU" in qa.backend_reason


def test_an_engine_that_fits_is_not_built_again(stage):
    path, find = stage
    before = path.stat().st_mtime_ns
    data, why = find()
    assert (data, why) == (path.read_bytes(), "")
    assert path.stat().st_mtime_ns == before


def test_a_truncated_engine_is_built_again_and_says_so(compiled, stage):
    path, find = stage
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    assert answers(compiled)
    data, why = find()
    assert len(data) > 10_000
    assert "damaged" in why
    assert find()[1] == ""
    assert answers(compiled)


def test_an_engine_of_another_version_is_built_again_and_says_so(compiled, stage):
    path, find = stage
    label = path.with_suffix(".json")
    found = json.loads(label.read_text())
    found["key"]["runtime"] = "tensorrt-rtx 1.0"
    label.write_text(json.dumps(found))
    assert answers(compiled)
    assert "runtime was tensorrt-rtx 1.0, is tensorrt-rtx" in find()[1]
    assert find()[1] == ""
    assert answers(compiled)


def test_a_full_disk_costs_the_cache_not_the_engine(compiled, stage, monkeypatch, logged):
    path, find = stage
    path.unlink()

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tensorrt_engine, "keep_engine", full)
    assert len(find()[0]) > 10_000
    assert "built but not kept: [Errno 28] No space left" in logged[0]
    assert answers(compiled)


def test_a_gpu_that_does_not_exist_is_refused(stage):
    _, find = stage
    with pytest.raises(BundleError, match="tensorrt-rtx cannot compile"):
        find(compute_capability="1.0")


def test_an_engine_that_tensorrt_refuses_is_told_in_one_line():
    with pytest.raises(BundleError, match=r"TensorRT cannot load an engine.*onnxruntime backend answers without it"):
        TensorRtEngine(load_polygraphy("tensorrt-rtx"), b"no engine", None, {})


def test_without_a_gpu_the_target_must_be_named_and_nothing_runs(tiny):
    with pytest.raises(InputError, match=r"no NVIDIA GPU here.*--compute-capability 8\.9"):
        make_set(tiny().describe(), "tensorrt-rtx")
    with pytest.raises(InputError, match="there is none here"):
        TensorRtBackend()
