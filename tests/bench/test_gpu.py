"""The benchmark for GPUs, on the CPU: all of it but the GPU."""

import json
import os
import signal
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from support import SHAPE

from bskim_export.backends import tensorrt_engine
from bskim_export.backends.catalogue import CATALOGUE, open_backend
from bskim_export.bench import gpu
from bskim_export.bench.gpu import Rows, Worker, failed, measure_all
from bskim_export.bench.gpu_report import Report
from bskim_export.bundle.manifest import read_manifest
from bskim_export.commands import main as group
from bskim_export.errors import InputError
from bskim_export.export import shapes

ROWS = ["dense-padded", "dense", "skim", "skim-imposed"]
JOB = {"batch_size": 2, "length": 128, "windows": 2, "repeats": 1}


def run(*arguments):
    common = ("--backend", "onnxruntime", "--length", 128, "--windows", 2, "--repeats", 1)
    return CliRunner().invoke(group, ["gpu-bench", *(str(a) for a in (*common, *arguments))])


def read(path):
    return json.loads(path.read_text())


def test_every_combination_has_its_rows_and_is_not_measured_again(tiny_bundle, tmp_path, monkeypatch):
    report = tmp_path / "report.json"
    wanted = ("--shape", tiny_bundle(), "--batch-size", 1, "--batch-size", 2, "--json", report)
    done = run(*wanted)
    assert done.exit_code == 0, done.output
    results = read(report)["results"]
    assert [(r["settings"]["batch_size"], r["settings"]["length"]) for r in results] == [(1, 128), (2, 128)]
    for result in results:
        assert [row["name"] for row in result["rows"]] == ROWS
        padded, dense, skim, imposed = result["rows"]
        assert all(row["ms"] > 0 for row in result["rows"])
        assert dense["speedup_time"] == dense["speedup_macs"] == dense["measured_over_macs"] == 1
        assert padded["gmacs_per_window"] > dense["gmacs_per_window"]
        assert skim["gmacs_per_window"] > imposed["gmacs_per_window"]
        assert 0.3 < result["real_share"] < 1
        assert result["settings"]["machine"]["backend"] == "onnxruntime"
    assert results[0]["real_share"] == results[1]["real_share"]  # the same windows
    assert all(row in done.output for row in ROWS)

    measured = []
    measure = Worker.measure
    monkeypatch.setattr(Worker, "measure", lambda self, job: measured.append(job) or measure(self, job))
    assert run(*wanted, "--batch-size", 3).exit_code == 0
    assert [job["batch_size"] for job in measured] == [3]
    assert read(report)["results"][:2] == results


def test_a_backend_that_is_not_there_is_reported_with_the_reason(tiny_bundle, tmp_path):
    missing = "onnxruntime-tensorrt-rtx"
    if CATALOGUE[missing].installed:
        pytest.skip("it is there")
    report = tmp_path / "report.json"
    wanted = ("--shape", tiny_bundle(), "--batch-size", 1, "--backend", missing, "--json", report)
    done = run(*wanted)
    assert done.exit_code == 0, done.output
    assert f"{missing} is left out: not installed; pip install onnxruntime-gpu" in " ".join(done.output.split())
    assert list(read(report)["unavailable"]) == [missing]
    assert len(read(report)["results"]) == 1

    alone = CliRunner().invoke(group, ["gpu-bench", "--backend", missing])
    assert alone.exit_code == 1
    assert "pass --backend onnxruntime" in " ".join(alone.output.split())


def test_what_fails_is_reported_and_tried_again_and_the_rest_goes_on(tiny_bundle, tmp_path):
    report = tmp_path / "report.json"
    wanted = ("--shape", tiny_bundle(), "--batch-size", 1, "--length", 512, "--length", 64, "--json", report)
    for _ in range(2):
        done = run(*wanted)
        assert done.exit_code == 0, done.output
        answers = {r["settings"]["length"]: r for r in read(report)["results"]}
        assert sorted(answers) == [64, 128, 512]
        assert [failed(answers[n]) for n in (64, 128, 512)] == [False, False, True]
        assert "Length 512 is more than the 384 positions" in answers[512]["error"]
        assert "[1] Length 512 is more than the 384 positions" in done.output


def test_a_row_that_fails_leaves_the_others(tiny_bundle):
    rows = Rows(tiny_bundle(), open_backend(), 2)
    whole = rows._orchestrator.run

    def run_dense_only(windows, policy):
        if policy is not None:
            raise MemoryError("out of memory\non the device")
        return whole(windows, policy)

    rows._orchestrator.run = run_dense_only
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
    monkeypatch.setattr(Worker, "__init__", lambda self, *a: started.append(a) or whole(self, *a))
    answers = list(measure_all(tmp_path, "onnxruntime", [JOB] * 3, 2))
    assert len(started) == 1
    assert all("is not a bundle" in answer["error"] for answer in answers)


def test_an_interruption_keeps_what_was_measured(tiny_bundle, tmp_path, monkeypatch):
    whole = gpu.measure_all

    def interrupted(folder, backend, jobs, most):
        yield from whole(folder, backend, jobs[:1], most)
        raise KeyboardInterrupt

    monkeypatch.setattr(gpu, "measure_all", interrupted)
    report = tmp_path / "report.json"
    done = run("--shape", tiny_bundle(), "--batch-size", 1, "--batch-size", 2, "--json", report)
    assert done.exit_code == 130
    assert f"'{report}' holds what was measured" in " ".join(done.output.split())
    assert "skim-imposed" in done.output
    assert len(read(report)["results"]) == 1


def test_tensorrts_engines_are_for_the_largest_batch(tiny_bundle, monkeypatch):
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setattr(tensorrt_engine, "compute_capability", lambda: (8, 9))
    seen = []
    backend = SimpleNamespace(name="tensorrt-rtx", load=lambda folder, manifest, graph: seen.extend(manifest.engines))
    Rows(tiny_bundle(), backend, 32)
    assert {(e.folder, *e.batch_size) for e in seen} == {("engines/tensorrt-rtx-8.9", 32, 32)}


def test_a_dense_bundle_has_no_skim_row(tiny_bundle):
    answer = Rows(tiny_bundle("bert", ()), open_backend(), 2).measure(**JOB)
    assert [row["name"] for row in answer["rows"]] == ROWS[:2]


def test_a_random_model_is_exported_once(tmp_path, monkeypatch):
    monkeypatch.setitem(shapes.SHAPES, "tiny", ("bert", SHAPE))
    wanted = ("--shape", "tiny", "--precision", "fp16", "--predictors", 1, "--batch-size", 1, "--out", tmp_path)
    for _ in range(2):
        done = run(*wanted, "--json", tmp_path / "report.json")
        assert done.exit_code == 0, done.output
        assert "tiny in fp16, 1 predictors, on onnxruntime" in done.output
        assert read_manifest(tmp_path / "tiny-fp16-1-predictors").skim_layers == [2]
        monkeypatch.setattr(shapes, "export_random", None)


def test_mistakes_get_one_clear_error(tmp_path):
    (tmp_path / "bench.json").write_text('{"rows": []}')
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="was not written by this command"):
        Report(tmp_path / "bench.json")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        Report(tmp_path / "notes.txt")
    done = run("--shape", "bert-huge")
    assert done.exit_code == 1
    assert "'bert-huge' is neither a bundle nor one of the shapes albert-base-v2" in " ".join(done.output.split())
