"""The commands that measure what a bundle costs: overhead, cold-start, export-cost and engine-cost."""

import json
import re

import pytest
from commands.cli import in_one_line, read_json, run, succeed
from support import EXAMPLE, SHAPE

from bskim_export.bench import random_models
from bskim_export.bundle.bundle import Bundle
from bskim_export.commands import cold_start


def test_overhead_is_printed_for_single_windows_and_for_batches(tiny_bundle):
    shown = succeed("overhead", tiny_bundle(), "--windows", 9, "--repeats", 1)
    pattern = (
        r"(\d) at a time, ([a-z ]+): every predictor, nothing dropped ([+-]\d+\.\d)% over dense; (\d+\.\d) windows a "
        r"second dense, (\d+\.\d) at the bundle's thresholds \((\d+\.\d\d)x\)"
    )
    found = re.findall(pattern, shown)
    assert [one[:2] for one in found] == [(n, graph) for n in "18" for graph in ("single graph", "staged")]
    for _, _, percent, dense, skim, ratio in found:
        assert float(percent) > -100
        least, most = (float(skim) - 0.05) / (float(dense) + 0.05), (float(skim) + 0.05) / (float(dense) - 0.05)
        assert least - 0.0051 <= float(ratio) <= most + 0.0051  # all three are printed rounded


def test_a_cold_start_is_the_time_of_whole_processes(tiny_bundle):
    shown = succeed("cold-start", tiny_bundle(), "--repeats", 2)
    median, least, most = (
        float(n) for n in re.findall(r"first answer: median (\d+\.\d\d) s \((\d+\.\d\d) to (\d+\.\d\d)\)$", shown)[0]
    )
    assert 0.05 < least <= median <= most  # an interpreter alone takes some of that


def test_a_cold_start_that_fails_is_not_timed(tiny_bundle, monkeypatch):
    monkeypatch.setattr(cold_start, "SCRIPT", "raise SystemExit(3)")
    done = run("cold-start", tiny_bundle())
    assert done.exit_code == 1
    assert "ended with exit code 3" in in_one_line(done)
    assert "median" not in done.output


def test_the_cost_of_long_texts_and_of_passages_is_printed(tiny_bundle, tmp_path):
    wanted = ("--words", 300, "--words", 3000, "--passages", 9, "--repeats", 1, "--json", tmp_path / "cost.json")
    shown = succeed("document-cost", tiny_bundle(), *wanted)
    report = json.loads((tmp_path / "cost.json").read_text())
    first, second = report["lengths"]
    assert (first["words"], second["words"]) == (300, 3000)
    assert 0 < first["seconds"] < second["seconds"]
    assert 20 < first["peak_mb"] < 2000
    assert f"{second['peak_mb'] / first['peak_mb']:.2f}x" in shown
    assert "9 passages of 100 words: p50" in " ".join(shown.split())
    assert report["passages"]["ratio"] == report["passages"]["seconds"] / report["passages"]["document_seconds"]


@pytest.mark.slow
def test_the_cost_of_an_export_is_printed_and_the_bundle_kept(tmp_path, monkeypatch):
    monkeypatch.setitem(random_models.SHAPES, "tiny", random_models.Shape("bert", SHAPE))
    wanted = ("--tokenizer", EXAMPLE, "--parity-questions", 2, "--out", tmp_path / "bundle")
    shown = succeed("export-cost", "--shape", "tiny", *wanted)
    bundle = Bundle.open(tmp_path / "bundle")
    assert bundle.model.source == "random-tiny"
    assert bundle.skim_layers == [0, 1, 2]
    assert bundle.read_report()["parity"]["questions"] == 2
    (megabytes,) = re.findall(r"tiny: the parameters of the checkpoint have (\d+) MB", shown)
    assert int(megabytes) == pytest.approx(4 * 32 * (30522 + 512 + 2) / 1e6, abs=1)  # nearly all are embeddings
    (seconds, gigabytes) = re.findall(
        r"tiny: exported in (\d+) s, its parity with PyTorch measured on 2 questions; peak memory of this process, "
        r"model and libraries included, (\d+\.\d) GB",
        shown,
    )[0]
    assert int(seconds) < 600
    assert 0.1 < float(gigabytes) < 100


def test_the_cost_of_engines_is_printed_and_refusals_with_it(tiny_bundle):
    pytest.importorskip("tensorrt_rtx")
    pytest.importorskip("polygraphy")
    shown = succeed("engine-cost", tiny_bundle("bert", ()), "--compute-capability", "8.9,1.0")
    assert "1 of 1" in shown  # the one stage is the dense graph too
    assert "0 of 1" in shown
    assert "cannot compile" in shown


def test_scaling_is_printed_and_drawn(tiny_bundle, tmp_path):
    pytest.importorskip("matplotlib")
    common = ("scaling", tiny_bundle(), "--windows", 3, "--repeats", 1)
    shown = succeed(*common, "--json", tmp_path / "x.json", "--plot", tmp_path / "x.svg")
    assert "of the dense model's time are fixed" in shown
    report = read_json(tmp_path / "x.json")
    assert [p["share"] for p in report["points"]] == [n / 10 for n in range(10, 0, -1)]
    assert set(report["lines"]) == {"alone", "together"}
    assert (tmp_path / "x.svg").stat().st_size > 1000
    assert run(*common, "--plot", tmp_path / "x.bmp").exit_code == 2
    assert "has no predictors" in run("scaling", tiny_bundle("bert", ())).output
