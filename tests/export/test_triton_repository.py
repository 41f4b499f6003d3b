import configparser
import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from commands.cli import in_one_line, run, succeed
from google.protobuf import json_format, text_format
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig, ModelInstanceGroup

import bskim_export
from bskim_export import QAPipeline
from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.manifest import EngineSet
from bskim_export.checkpoint.loading import save_checkpoint
from bskim_export.data.question import sample
from bskim_export.errors import BundleError, DiskFullError, InputError, OutputError
from bskim_export.export import triton_repository
from bskim_export.export.triton_repository import RUNTIME, requirements, write_triton_repository

ROOT = Path(__file__).parents[2]
FILES = {"config.pbtxt", "requirements.txt", "1/model.py"}


@pytest.fixture
def bundle(tiny_bundle, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_bundle(), tmp_path / "tiny"))


@pytest.fixture
def repository(tmp_path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def utils(monkeypatch):
    """Triton's API, under the name that it has there."""
    path = Path(__file__).with_name("triton_python_backend_utils.py")
    spec = importlib.util.spec_from_file_location("triton_python_backend_utils", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", module)
    return module


class Server:
    """What Triton does with a model: it reads the configuration, makes one instance, and passes it batches."""

    def __init__(self, model: Path, utils):
        self.utils = utils
        self.config = text_format.Parse((model / "config.pbtxt").read_text(encoding="utf-8"), ModelConfig())
        spec = importlib.util.spec_from_file_location("model_of_a_test", model / "1" / "model.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.instance = module.TritonPythonModel()
        self.instance.initialize(
            {
                "model_config": json.dumps(json_format.MessageToDict(self.config)),
                "model_instance_kind": "CPU",
                "model_instance_device_id": "0",
                "model_repository": str(model),
                "model_version": "1",
                "model_name": model.name,
            }
        )

    def ask(self, *requests):
        """Run a batch; a request is a list of pairs (question, context), of strings or bytes."""
        responses = self.instance.execute([self._request(pairs) for pairs in requests])
        assert len(responses) == len(requests)
        return [self._result(response, len(pairs)) for response, pairs in zip(responses, requests, strict=True)]

    def _request(self, pairs):
        raw = [[t if isinstance(t, bytes) else t.encode("utf-8") for t in pair] for pair in pairs]
        inputs = [
            self.utils.Tensor(one.name, np.array([[row[i]] for row in raw], np.object_))
            for i, one in enumerate(self.config.input)
        ]
        wanted = [one.name for one in self.config.output]
        return self.utils.InferenceRequest(inputs=inputs, requested_output_names=wanted, model_name="tiny")

    def _result(self, response, count):
        """Return the answers as QAPipeline gives them, or the message and code of the error."""
        if response.has_error():
            assert response.output_tensors() == []
            return response.error().message(), response.error().code()
        columns = {}
        kinds = {DataType.TYPE_STRING: np.object_, DataType.TYPE_FP32: np.float32, DataType.TYPE_INT64: np.int64}
        for one in self.config.output:
            array = self.utils.get_output_tensor_by_name(response, one.name).as_numpy()
            assert array.shape == (count, *one.dims)
            assert array.dtype == kinds[one.data_type]
            columns[one.name] = [v.decode("utf-8") if isinstance(v, bytes) else v for v in array[:, 0].tolist()]
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@pytest.fixture
def server(bundle, repository, utils):
    made = Server(write_triton_repository(bundle, repository), utils)
    yield made
    made.instance.finalize()


def same(answers, expected):
    assert [a["answer"] for a in answers] == [e["answer"] for e in expected]
    assert [(a["start"], a["end"]) for a in answers] == [(e["start"], e["end"]) for e in expected]
    assert [a["score"] for a in answers] == pytest.approx([e["score"] for e in expected], abs=1e-6)


def test_the_model_has_its_files_and_the_bundle(bundle, repository):
    model = write_triton_repository(str(bundle), str(repository))
    assert model == repository / "tiny"
    assert [p.name for p in repository.iterdir()] == ["tiny"]
    own = {str(p.relative_to(model)) for p in model.rglob("*") if p.is_file()}
    of_bundle = {f"1/engines/{p.relative_to(bundle)}" for p in bundle.rglob("*") if p.is_file()}
    assert own == FILES | of_bundle
    assert Bundle.open(model / "1" / "engines").manifest == Bundle.open(bundle).manifest


def test_triton_reads_the_configuration(bundle, repository):
    text = (write_triton_repository(bundle, repository) / "config.pbtxt").read_text(encoding="utf-8")
    config = text_format.Parse(text, ModelConfig())
    assert (config.name, config.backend) == ("", "python")  # Triton takes the directory's name
    assert [(one.name, one.data_type, list(one.dims)) for one in config.input] == [
        ("question", DataType.TYPE_STRING, [1]),
        ("context", DataType.TYPE_STRING, [1]),
    ]
    assert [(one.name, one.data_type, list(one.dims)) for one in config.output] == [
        ("answer", DataType.TYPE_STRING, [1]),
        ("score", DataType.TYPE_FP32, [1]),
        ("start", DataType.TYPE_INT64, [1]),
        ("end", DataType.TYPE_INT64, [1]),
    ]
    preferred = config.dynamic_batching.preferred_batch_size
    assert 0 < min(preferred) <= max(preferred) <= config.max_batch_size
    assert config.dynamic_batching.max_queue_delay_microseconds == 2000
    assert [(one.count, one.kind) for one in config.instance_group] == [(1, ModelInstanceGroup.KIND_CPU)]


def test_answers_are_those_of_the_pipeline(server, bundle, squad):
    pairs = [(q.question, q.context) for q in sample(squad, 6)]
    expected = QAPipeline(bundle).run([{"question": q, "context": c} for q, c in pairs])
    first, second, third = server.ask(pairs[:1], pairs[1:4], pairs[4:])
    same(first + second + third, expected)


def test_all_requests_of_a_batch_are_one_call(server, squad, monkeypatch):
    calls = []
    run_it = QAPipeline.run
    monkeypatch.setattr(QAPipeline, "run", lambda *a, **k: calls.append(len(k["data"])) or run_it(*a, **k))
    pairs = [(q.question, q.context) for q in sample(squad, 3)]
    server.ask(pairs[:1], pairs[1:])
    assert calls == [3]


def test_an_unusable_question_has_an_error_of_its_own(server, bundle, squad):
    pairs = [(q.question, q.context) for q in sample(squad, 3)]
    expected = QAPipeline(bundle).run([{"question": q, "context": c} for q, c in pairs])
    long = "why " * 1000
    answered, empty, bytes_, several, too_long, last = server.ask(
        pairs[:2],
        [("", "Ada wrote it.")],
        [("Who?", b"\xff\xfe")],
        [("Who?", "Ada."), ("Who?", "")],
        [(long, "Ada wrote it.")],
        pairs[2:],
    )
    same(answered + last, expected)
    invalid = server.utils.TritonError.INVALID_ARG
    assert empty == ("`question` cannot be empty.", invalid)
    assert bytes_[0].startswith("`context` is not UTF-8")
    assert several == ("Question 1: `context` cannot be empty.", invalid)
    assert too_long[1] == bytes_[1] == invalid
    assert all(isinstance(one, tuple) for one in server.ask([("Who?", b"\xff")], [(b"\xff", "Ada.")]))


def test_the_requirements_pin_what_the_runtime_needs(bundle, repository):
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    wanted = [line.split(">=")[0] for line in config["options"]["install_requires"].split("\n") if line]
    assert sorted(wanted) == sorted(RUNTIME)
    lines = (write_triton_repository(bundle, repository) / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert lines[0] == f"bskim-export=={bskim_export.__version__}"
    assert [line.split("==")[0] for line in lines[1:]] == sorted(RUNTIME)
    assert all(line.split("==")[1][0].isdigit() for line in lines[1:])
    assert not any(line.startswith(("torch", "transformers")) for line in lines)


def test_the_requirements_have_the_library_of_compiled_engines(bundle, monkeypatch):
    manifest = Bundle.open(bundle).manifest
    compiled = EngineSet.__new__(EngineSet)
    object.__setattr__(compiled, "backend", "openvino")
    object.__setattr__(manifest, "engines", [compiled])
    lines = requirements(manifest).splitlines()
    assert lines[0] == f"bskim-export[openvino]=={bskim_export.__version__}"
    assert any(line.startswith("openvino==") for line in lines)


def test_a_model_of_ours_is_replaced_and_others_stay(bundle, repository, tiny_bundle):
    (repository / "other" / "1").mkdir(parents=True)
    (repository / "other" / "1" / "model.py").write_text("")
    model = write_triton_repository(bundle, repository)
    (model / "1" / "__pycache__").mkdir()
    (model / "1" / "__pycache__" / "model.cpython-312.pyc").write_bytes(b"")  # as Triton's Python leaves it
    shutil.rmtree(bundle)
    shutil.copytree(tiny_bundle("bert", ()), bundle)
    assert write_triton_repository(bundle, repository) == model
    assert Bundle.open(model / "1" / "engines").manifest == Bundle.open(bundle).manifest
    assert not (model / "1" / "__pycache__").exists()
    assert sorted(p.name for p in repository.iterdir()) == ["other", "tiny"]
    assert (repository / "other" / "1" / "model.py").exists()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("notes.txt", "also holds 'notes.txt'"),
        ("2/model.py", "also holds '2'"),
        ("1/weights.bin", "also holds '1/weights.bin'"),
        ("1/engines/notes.txt", "has a bundle that also holds 'notes.txt'"),
    ],
)
def test_a_model_with_something_foreign_in_it_is_refused(bundle, repository, path, said):
    model = write_triton_repository(bundle, repository)
    (model / path).parent.mkdir(exist_ok=True)
    (model / path).write_text("mine")
    with pytest.raises(OutputError, match=said):
        write_triton_repository(bundle, repository)
    assert (model / path).read_text() == "mine"


def test_what_bskim_export_did_not_write_is_refused(bundle, repository):
    (repository / "tiny").mkdir(parents=True)
    write_triton_repository(bundle, repository)  # an empty directory is nobody's
    config = repository / "tiny" / "config.pbtxt"
    config.write_text('backend: "onnxruntime"\n')
    with pytest.raises(OutputError, match="is no model that bskim-export wrote"):
        write_triton_repository(bundle, repository)
    assert config.read_text() == 'backend: "onnxruntime"\n'
    shutil.rmtree(repository / "tiny")
    (repository / "tiny").write_text("a file")
    with pytest.raises(OutputError, match="is no directory"):
        write_triton_repository(bundle, repository)


def test_a_model_is_there_whole_or_not_at_all(bundle, repository, monkeypatch):
    def full(*arguments, **more):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(triton_repository.shutil, "copytree", full)
        with pytest.raises(DiskFullError):
            write_triton_repository(bundle, repository)
    assert list(repository.iterdir()) == []
    model = write_triton_repository(bundle, repository)
    before = {p: p.stat().st_ino for p in model.rglob("*")}
    monkeypatch.setattr(triton_repository.shutil, "copytree", full)
    with pytest.raises(DiskFullError):
        write_triton_repository(bundle, repository)
    assert {p: p.stat().st_ino for p in model.rglob("*")} == before
    assert [p.name for p in repository.iterdir()] == ["tiny"]


def test_no_bundle_and_a_damaged_one_are_refused(bundle, repository):
    with pytest.raises(BundleError):
        write_triton_repository(repository / "nowhere", repository)
    (bundle / "tokenizer.json").write_text("{}")
    with pytest.raises(BundleError):
        write_triton_repository(bundle, repository)
    assert not repository.exists()


def test_a_bundle_and_its_model_do_not_lie_in_each_other(bundle):
    for place in (bundle.parent, bundle, bundle / "models"):
        with pytest.raises(InputError, match="would lie in each other"):
            write_triton_repository(bundle, place)
    assert "manifest.json" in {p.name for p in bundle.iterdir()}


def test_export_writes_the_model_beside_the_bundle(tiny, tmp_path):
    save_checkpoint(tiny().model, tmp_path / "model.pt", tiny().tokenizer)
    out, repository = tmp_path / "bundle", tmp_path / "models"
    wanted = ("--out", out, "--verify", 1, "--triton", repository)
    assert f"Wrote {repository / 'bundle'}: a model of Triton's" in succeed("export", tmp_path / "model.pt", *wanted)
    assert Bundle.open(repository / "bundle" / "1" / "engines").manifest == Bundle.open(out).manifest
    (repository / "bundle" / "notes.txt").write_text("mine")
    shutil.rmtree(out)
    done = run("export", tmp_path / "model.pt", *wanted)
    assert done.exit_code == 1
    assert "also holds 'notes.txt'" in in_one_line(done)
    assert not out.exists()  # seen before the work
    done = run("export", tmp_path / "model.pt", "--layout", "single", "--triton", repository)
    assert "--triton copies a bundle" in in_one_line(done)
