"""The benchmark for GPUs as a user calls it, on the CPU: all of it but the GPU."""

import pytest
from commands.cli import in_one_line, read_json, run, succeed
from support import EXAMPLE, SHAPE

from bskim_export.backends.catalogue import CATALOGUE
from bskim_export.bench import gpu, random_models
from bskim_export.bench.gpu import Worker, failed
from bskim_export.bundle.bundle import Bundle
from bskim_export.commands import gpu_bench

ROWS = ["dense-padded", "dense", "skim", "skim-imposed"]
SMALL = ("gpu-bench", "--backend", "onnxruntime", "--length", 128, "--windows", 2, "--repeats", 1)


def test_every_combination_has_its_rows_and_is_not_measured_again(tiny_bundle, tmp_path, monkeypatch):
    report = tmp_path / "report.json"
    wanted = (*SMALL, "--shape", tiny_bundle(), "--batch-size", 1, "--batch-size", 2, "--json", report)
    shown = succeed(*wanted)
    results = read_json(report)["results"]
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
    assert all(row in shown for row in ROWS)

    measured = []
    measure = Worker.measure

    def remember(self, job):
        measured.append(job)
        return measure(self, job)

    monkeypatch.setattr(Worker, "measure", remember)
    succeed(*wanted, "--batch-size", 3)
    assert [job["batch_size"] for job in measured] == [3]
    assert read_json(report)["results"][:2] == results


def test_a_backend_that_is_not_there_is_reported_with_the_reason(tiny_bundle, tmp_path):
    missing = "onnxruntime-tensorrt-rtx"
    if CATALOGUE[missing].installed:
        pytest.skip("it is there")
    report = tmp_path / "report.json"
    shown = succeed(*SMALL, "--shape", tiny_bundle(), "--batch-size", 1, "--backend", missing, "--json", report)
    assert f"{missing} is left out: not installed; pip install onnxruntime-gpu" in shown
    assert list(read_json(report)["unavailable"]) == [missing]
    assert len(read_json(report)["results"]) == 1

    alone = run("gpu-bench", "--backend", missing)
    assert alone.exit_code == 1
    assert "pass --backend onnxruntime" in in_one_line(alone)


def test_what_fails_is_reported_and_tried_again_and_the_rest_goes_on(tiny_bundle, tmp_path):
    report = tmp_path / "report.json"
    lengths = ("--length", 512, "--length", 64)
    for _ in range(2):
        shown = succeed(*SMALL, *lengths, "--shape", tiny_bundle(), "--batch-size", 1, "--json", report)
        answers = {r["settings"]["length"]: r for r in read_json(report)["results"]}
        assert sorted(answers) == [64, 128, 512]
        assert [failed(answers[n]) for n in (64, 128, 512)] == [False, False, True]
        assert "Length 512 is more than the 384 positions" in answers[512]["error"]
        assert "[1] Length 512 is more than the 384 positions" in shown


def test_an_interruption_keeps_what_was_measured(tiny_bundle, tmp_path, monkeypatch):
    whole = gpu.measure_all

    def interrupted(folder, backend, jobs, most):
        yield from whole(folder, backend, jobs[:1], most)
        raise KeyboardInterrupt

    monkeypatch.setattr(gpu, "measure_all", interrupted)
    report = tmp_path / "report.json"
    done = run(*SMALL, "--shape", tiny_bundle(), "--batch-size", 1, "--batch-size", 2, "--json", report)
    assert done.exit_code == 130
    assert f"'{report}' holds what was measured" in in_one_line(done)
    assert "skim-imposed" in done.output
    assert len(read_json(report)["results"]) == 1


@pytest.mark.slow
def test_a_random_model_is_exported_once(tmp_path, monkeypatch):
    monkeypatch.setitem(random_models.SHAPES, "tiny", random_models.Shape("bert", SHAPE))
    model = ("--shape", "tiny", "--precision", "fp16", "--predictors", 1, "--tokenizer", EXAMPLE, "--out", tmp_path)
    for _ in range(2):
        shown = succeed(*SMALL, *model, "--batch-size", 1, "--json", tmp_path / "report.json")
        assert "tiny in fp16, 1 predictors, on onnxruntime" in shown
        assert Bundle.open(tmp_path / "tiny-fp16-1-predictors").skim_layers == [2]
        monkeypatch.setattr(gpu_bench, "export_random", None)


def test_a_shape_that_is_none_is_refused():
    done = run(*SMALL, "--shape", "bert-huge")
    assert done.exit_code == 1
    assert "'bert-huge' is neither a bundle nor one of the shapes albert-base-v2" in in_one_line(done)
