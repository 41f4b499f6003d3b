"""The benchmark for GPUs, on the CPU: its rows, its processes and its report."""

import os
import signal
from types import SimpleNamespace

import pytest

from bskim_export.backends import tensorrt_engine
from bskim_export.backends.catalogue import open_backend
from bskim_export.bench.gpu import Rows, Worker, failed, measure_all
from bskim_export.bench.gpu_report import Report
from bskim_export.errors import InputError

JOB = {"batch_size": 2, "length": 128, "windows": 2, "repeats": 1}
SETTINGS = {"shape": "tiny", "batch_size": 2}


def test_a_row_that_fails_leaves_the_others(tiny_bundle, monkeypatch):
    rows = Rows(tiny_bundle(), open_backend(), 2)
    whole = rows._orchestrator.run

    def run_dense_only(windows, policy):
        if policy is not None:
            raise MemoryError("out of memory\non the device")
        return whole(windows, policy)

    monkeypatch.setattr(rows._orchestrator, "run", run_dense_only)
    answer = rows.measure(**JOB)
    assert failed(answer)
    assert [row.get("error") for row in answer["rows"]] == [None, None, *2 * ["out of memory on the device"]]


def test_a_process_that_dies_costs_one_combination(tiny_bundle):
    answers = measure_all(tiny_bundle(), "onnxruntime", [JOB] * 3, 2)
    assert not failed(next(answers))
    os.kill(answers.gi_frame.f_locals["worker"]._process.pid, signal.SIGKILL)
    assert "exit code -9" in next(answers)["error"]
    assert not failed(next(answers))
    answers.close()


def test_a_bundle_that_cannot_be_loaded_is_not_tried_for_every_combination(tmp_path, monkeypatch):
    started = []
    whole = Worker.__init__

    def remember(self, *arguments):
        started.append(arguments)
        whole(self, *arguments)

    monkeypatch.setattr(Worker, "__init__", remember)
    answers = list(measure_all(tmp_path, "onnxruntime", [JOB] * 3, 2))
    assert len(started) == 1
    assert all("is not a bundle" in answer["error"] for answer in answers)


def test_tensorrts_engines_are_for_the_largest_batch(tiny_bundle, monkeypatch):
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setattr(tensorrt_engine, "compute_capability", lambda: (8, 9))
    seen = []
    backend = SimpleNamespace(
        name="tensorrt-rtx", load=lambda bundle, graph, streams: seen.extend(bundle.manifest.engines)
    )
    Rows(tiny_bundle(), backend, 32)
    assert {(e.folder, *e.batch_size) for e in seen} == {("engines/tensorrt-rtx-8.9", 32, 32)}


def test_a_dense_bundle_has_no_skim_row(tiny_bundle):
    answer = Rows(tiny_bundle("bert", ()), open_backend(), 2).measure(**JOB)
    assert [row["name"] for row in answer["rows"]] == ["dense-padded", "dense"]


def test_a_report_goes_on_where_it_ended_and_replaces_what_failed(tmp_path):
    report = Report(tmp_path / "report.json")
    report.add(SETTINGS, {"error": "out of memory"})
    assert not report.holds(SETTINGS)
    report = Report(tmp_path / "report.json")
    report.add(SETTINGS, {"rows": [{"name": "dense", "ms": 1.0}]})
    assert report.holds(SETTINGS)
    assert not report.holds(SETTINGS | {"batch_size": 8})
    (only,) = Report(tmp_path / "report.json").results
    assert only["rows"] == [{"name": "dense", "ms": 1.0}]


def test_a_file_that_is_something_else_is_not_overwritten(tmp_path):
    (tmp_path / "bench.json").write_text('{"rows": []}')
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="was not written by this command"):
        Report(tmp_path / "bench.json")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        Report(tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "mine"
