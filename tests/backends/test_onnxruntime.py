"""ONNX Runtime beside its other users: nothing of the process is changed, nothing sent, and files may be replaced."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from bskim_export import Bundle, QAPipeline, open_backend
from bskim_export.backends.catalogue import CATALOGUE
from bskim_export.backends.onnxruntime import OnnxRuntimeBackend
from bskim_export.errors import BundleError

HERE = [name for name, e in CATALOGUE.items() if e.device == "CPU" and e.installed]
ASKED = {"question": "Who wrote the book?", "context": "The book was written by Ada Lovelace in 1843. " * 20}
RESOLVER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **res) {
    FILE *file = fopen(getenv("LOOKED_UP"), "a");
    if (file) { fprintf(file, "%s\n", node ? node : ""); fclose(file); }
    return EAI_NONAME;
}
"""
ANSWERS = """
import sys, time
from bskim_export import QAPipeline
print(QAPipeline(sys.argv[1])("Who wrote it?", "Ada wrote it.")["answer"])
time.sleep(float(sys.argv[2]))
"""


def double() -> bytes:
    """Return a model that doubles a number."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()


def test_other_sessions_of_the_process_are_made_as_ever(tiny_bundle):
    before = ort.InferenceSession(double())
    qa = QAPipeline(tiny_bundle())
    qa(**ASKED)
    for session in (before, ort.InferenceSession(double()), ort.InferenceSession(double(), ort.SessionOptions())):
        assert session.run(None, {"x": np.array([21], np.float32)})[0] == 42
    ort.set_default_logger_severity(3)
    other = ort.SessionOptions()
    other.intra_op_num_threads = 1
    assert ort.InferenceSession(double(), other).run(None, {"x": np.array([1], np.float32)})[0] == 2
    assert QAPipeline(tiny_bundle(), threads=1)(**ASKED)["answer"] == qa(**ASKED)["answer"]


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler, to listen in on the resolver")
@pytest.mark.parametrize("telemetry", ["left alone", "switched on"])
def test_nothing_is_sent_and_nothing_written_at_home(telemetry, tiny_bundle, tmp_path):
    (tmp_path / "resolver.c").write_text(RESOLVER)
    library = tmp_path / "resolver.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "resolver.c"], check=True)
    home = tmp_path / "home"
    home.mkdir()
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("ORT_", "XDG_"))}
    env = {**inherited, "HOME": str(home), "LD_PRELOAD": str(library), "LOOKED_UP": str(tmp_path / "names")}
    if telemetry == "switched on":
        env["ORT_DISABLE_TELEMETRY"] = "0"
    done = subprocess.run(
        [sys.executable, "-c", ANSWERS, str(tiny_bundle()), "3" if telemetry == "switched on" else "1"],
        env=env, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    traces = list(home.rglob("*")) + [tmp_path / "names"] * (tmp_path / "names").exists()
    if telemetry == "left alone":
        assert traces == []
    elif not traces:  # the user's own choice is respected, and shows that this test would see telemetry
        pytest.skip("this build of ONNX Runtime has no telemetry")


@pytest.mark.parametrize("name", HERE)
def test_writing_into_the_files_of_an_open_bundle_changes_nothing(name, tiny_bundle, tmp_path):
    folder = shutil.copytree(tiny_bundle(), tmp_path / "engines")
    other = shutil.copytree(tiny_bundle("bert", predictor="question"), tmp_path / "other")
    program = """
import sys, subprocess
from bskim_export import QAPipeline
qa = QAPipeline(sys.argv[1], backend=sys.argv[3], threshold=0.5)
ask = lambda: qa("Who wrote the book?", "The book was written by Ada Lovelace in 1843. " * 20)
before = ask()
assert not [line for line in open("/proc/self/maps") if "weights.bin" in line], "mapped"
subprocess.run(["cp", sys.argv[2] + "/onnx/weights.bin", sys.argv[1] + "/onnx/weights.bin"], check=True)
assert ask() == before, "changed"
with open(sys.argv[1] + "/onnx/weights.bin", "r+b") as stream:
    stream.truncate(100)
assert ask() == before, "changed"
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder), str(other), name],
        capture_output=True, text=True, timeout=300, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, (done.returncode, done.stderr)


def test_what_is_loaded_later_is_checked_again(tiny_bundle, tmp_path):
    folder = shutil.copytree(tiny_bundle(), tmp_path / "engines")
    for file in ("onnx/weights.bin", "onnx/dense_alone.onnx"):
        qa = QAPipeline(folder, threshold=0.5)
        content = (folder / file).read_bytes()
        times = os.stat(folder / file)
        (folder / file).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        os.utime(folder / file, ns=(times.st_atime_ns, times.st_mtime_ns))  # nothing but its content tells
        with pytest.raises(BundleError, match=f"{file}' is damaged"):
            qa.runner.load(dense=True, skim=False)
        (folder / file).write_bytes(content)


def test_weights_may_be_mapped_on_request(minilm_bundle):
    mapped = QAPipeline(minilm_bundle, backend=OnnxRuntimeBackend(mapped=True))
    assert [line for line in Path("/proc/self/maps").read_text().splitlines() if "weights.bin" in line]
    assert mapped(**ASKED) == QAPipeline(minilm_bundle)(**ASKED)


def test_a_graph_that_onnx_runtime_refuses_is_named(tiny_bundle, tmp_path):
    folder = shutil.copytree(tiny_bundle(), tmp_path / "engines")
    bundle = Bundle.open(folder)
    graph = bundle.manifest.dense
    bundle.read = lambda name: b"no graph"  # whose hash fits: what an export of a broken library would write
    with pytest.raises(BundleError, match=r"ONNX Runtime .* cannot load '.*dense.onnx'"):
        open_backend("onnxruntime").load(bundle, graph)
    assert onnx.load(bundle.path(graph.file), load_external_data=False).graph.node
