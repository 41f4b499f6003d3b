"""Engines in a bundle: built ahead of time without a GPU, so this is the real thing as far as it goes."""

import errno
import hashlib
import json
import shutil
from dataclasses import replace

import pytest

from bskim_export import QAPipeline, export_bundle, open_backend
from bskim_export.bundle.bundle import Bundle
from bskim_export.data.question import sample
from bskim_export.errors import BundleError, InputError

pytest.importorskip("tensorrt_rtx")
pytest.importorskip("polygraphy")
from bskim_export.backends import tensorrt_engine
from bskim_export.backends.nvidia import compute_capability
from bskim_export.backends.profiles import Profile
from bskim_export.backends.tensorrt import load_polygraphy
from bskim_export.backends.tensorrt_engine import TensorRtBackend, TensorRtEngine, find_or_build, make_set

pytestmark = pytest.mark.skipif(compute_capability() is not None, reason="about machines without a GPU")


ASKED = {"question": "Who wrote it?", "context": "It was written by Ada Lovelace."}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """The user's cache, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def compiled(tiny, squad, tmp_path_factory):
    """A bundle with engines for one kind of GPU."""
    checkpoint = tiny("bert", (1,), "question")
    out = tmp_path_factory.mktemp("compiled") / "bundle"
    engines = make_set(checkpoint.describe().max_seq_len, "tensorrt-rtx", (8, 9), max_batch_size=2)
    export_bundle(checkpoint, out, questions=sample(squad, 2), engines=[engines])
    return out


@pytest.fixture
def stage(compiled, tmp_path):
    """One of its graphs, in a copy: the engine's path, and a function that finds or builds it."""
    bundle = Bundle.open(shutil.copytree(compiled, tmp_path / "copy"))
    (engines,) = bundle.manifest.engines
    path = bundle.path(engines.folder) / "stage_01.engine"

    def find(**changes):
        return find_or_build(bundle, bundle.manifest.stages[1].graph, replace(engines, **changes))

    return path, find


@pytest.fixture(scope="module")
def expected(compiled):
    """The answer of the onnxruntime backend, which looks at no engine."""
    return QAPipeline(compiled, backend=open_backend("onnxruntime"))(**ASKED)


def test_every_graph_has_an_engine_and_the_bundle_answers_without_a_gpu(compiled, squad):
    bundle = Bundle.open(compiled)
    folder = bundle.path(bundle.manifest.engines[0].folder)
    assert {p.stem for p in folder.glob("*.engine")} == {"stage_00", "stage_01", "skim_01", "dense"}
    qa = QAPipeline(compiled)
    plain = QAPipeline(compiled, backend=open_backend("onnxruntime"))
    for question in sample(squad, 3, seed=3):
        asked = {"question": question.question, "context": question.context}
        assert qa(**asked) == plain(**asked)
    assert "this machine has no NVIDIA GPU" in qa.backend_reason


def test_an_engine_that_the_manifest_lists_is_not_built_again(stage, own_cache):
    path, find = stage
    assert find() == (path.read_bytes(), "")
    assert not own_cache.exists()


@pytest.mark.parametrize(
    "spoil", [lambda data: data[:1000], lambda data: data + b"planted", lambda data: b"native code"]
)
def test_an_engine_that_was_spoiled_or_planted_is_built_again_into_the_users_cache(stage, own_cache, spoil):
    path, find = stage
    planted = spoil(path.read_bytes())
    path.write_bytes(planted)
    label = json.loads(path.with_suffix(".json").read_text())
    # With a label of its own that fits: the manifest's hash decides.
    path.with_suffix(".json").write_text(json.dumps(label | {"sha256": hashlib.sha256(planted).hexdigest()}))
    data, why = find()
    assert len(data) > 10_000
    assert data != planted
    assert "damaged" in why
    assert path.read_bytes() == planted  # the bundle is left as it is
    assert find() == (data, "")
    (kept,) = own_cache.rglob("*.engine")
    assert kept.read_bytes() == data
    assert kept.parent.stat().st_mode & 0o777 == 0o700


def test_an_engine_that_the_manifest_does_not_list_is_never_loaded(stage):
    path, find = stage
    data, why = find(files={})
    assert data != path.read_bytes() or why == "it was not built yet"
    assert why == "it was not built yet"
    assert find(files={}) == (data, "")


def test_an_engine_of_another_version_is_built_again_and_says_so(stage):
    path, find = stage
    label = path.with_suffix(".json")
    found = json.loads(label.read_text())
    found["key"]["runtime"] = "tensorrt-rtx 1.0"
    label.write_text(json.dumps(found))
    assert "runtime was tensorrt-rtx 1.0, is tensorrt-rtx" in find()[1]
    assert find()[1] == ""


def test_a_bundle_whose_engines_are_spoiled_answers_all_the_same(compiled, expected, tmp_path):
    folder = shutil.copytree(compiled, tmp_path / "spoiled")
    for path in folder.rglob("*.engine"):
        path.write_bytes(b"native code")
    assert QAPipeline(folder)(**ASKED) == expected


def test_a_full_disk_costs_the_cache_not_the_engine(stage, monkeypatch, logged):
    path, find = stage
    path.unlink()

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tensorrt_engine, "keep_engine", full)
    assert len(find()[0]) > 10_000
    assert "built but not kept: [Errno 28] No space left" in logged[0]


def test_a_gpu_that_does_not_exist_is_refused(stage):
    _, find = stage
    with pytest.raises(BundleError, match="tensorrt-rtx cannot compile"):
        find(compute_capability="1.0")


def test_an_engine_that_tensorrt_refuses_is_told_in_one_line():
    with pytest.raises(BundleError, match=r"TensorRT cannot load an engine.*onnxruntime backend answers without it"):
        TensorRtEngine(load_polygraphy("tensorrt-rtx"), b"no engine", Profile((1, 1), (32, 32)), {})


def test_without_a_gpu_the_target_must_be_named_and_nothing_runs(tiny):
    with pytest.raises(InputError, match=r"no NVIDIA GPU here.*--compute-capability 8\.9"):
        make_set(tiny().describe().max_seq_len, "tensorrt-rtx")
    with pytest.raises(InputError, match="there is none here"):
        TensorRtBackend()
