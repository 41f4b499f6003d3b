import json

import pytest
from click.testing import CliRunner
from support import EXAMPLE

from bskim_export.bench.rows import RecordingPipeline, make_rows, measure
from bskim_export.commands import main as group
from bskim_export.commands.ask import render_passage
from bskim_export.data.question import Question


def run(*arguments):
    return CliRunner().invoke(group, [str(a) for a in arguments])


def test_bench_writes_the_three_rows(minilm_bundle, tmp_path):
    done = run("bench", minilm_bundle, "--limit", 6, "--json", tmp_path / "report.json")
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["dataset"]["questions"] == 6
    assert report["machine"]["threads"] >= 1
    assert [r["name"] for r in report["rows"]] == ["dense-padded", "dense", "skim"]
    padded, dense, skim = report["rows"]
    for row in report["rows"]:
        assert row["backend"] == "onnxruntime"
        assert row["latency_ms"]["p50"] <= row["latency_ms"]["p95"] <= row["latency_ms"]["p99"]
        assert len(row["kept_blocks"]) == 6
        assert row["questions_per_second"] > 0
    assert padded["f1"] == dense["f1"]
    assert dense["speedup_macs"] == dense["speedup_time"] == 1
    assert padded["gmacs_per_question"] > dense["gmacs_per_question"] > skim["gmacs_per_question"]
    assert all(a >= b for a, b in zip(skim["kept_blocks"], skim["kept_blocks"][1:], strict=False))
    assert set(dense["kept_blocks"]) == {1.0}


def test_a_keep_schedule_keeps_those_shares_of_the_passage_blocks(minilm_bundle, tmp_path):
    done = run("bench", minilm_bundle, "--limit", 6, "--keep-schedule", "1,0.5,0.2", "--json", tmp_path / "report.json")
    assert done.exit_code == 0, done.output
    skim = json.loads((tmp_path / "report.json").read_text())["rows"][2]
    assert skim["kept_blocks"][0] == 1
    assert 0.5 < skim["kept_blocks"][1] < 0.85  # question blocks stay, shares are rounded up
    assert skim["kept_blocks"][2] == skim["kept_blocks"][5] < skim["kept_blocks"][1]


def test_speed_ups_can_be_over_another_bundles_dense_model(minilm_bundle, tiny_bundle, tmp_path):
    done = run("bench", tiny_bundle(), "--baseline", minilm_bundle, "--warm-up", "--limit", 3, "--json", tmp_path / "r")
    assert done.exit_code == 0, done.output
    assert "over the row 'baseline'" in " ".join(done.output.split())
    rows = {row["name"]: row for row in json.loads((tmp_path / "r").read_text())["rows"]}
    assert list(rows) == ["dense-padded", "dense", "skim", "baseline"]
    assert rows["baseline"]["speedup_macs"] == rows["baseline"]["speedup_time"] == 1
    assert rows["dense"]["speedup_macs"] > 10  # so much smaller is the tiny model
    assert len(rows["baseline"]["kept_blocks"]) == 6


def test_parity_of_a_bundle_on_a_backend_is_counted(minilm_bundle):
    done = run("parity", EXAMPLE, minilm_bundle, "--limit", 3, "--backend", "onnxruntime")
    assert done.exit_code == 0, done.output
    output = " ".join(done.output.split())
    assert "against PyTorch on 3 questions of squad (0 ties left out): 0 of" in output
    assert "0 answers differ (100.0% the same)" in output


def test_the_cost_of_engines_is_printed_and_refusals_with_it(tiny_bundle):
    pytest.importorskip("tensorrt_rtx")
    pytest.importorskip("polygraphy")
    done = run("engine-cost", tiny_bundle("bert", (), "diagonal"), "--compute-capability", "8.9,1.0")
    assert done.exit_code == 0, done.output
    assert "1 of 1" in done.output  # the one stage is the dense graph too
    assert "0 of 1" in done.output
    assert "cannot compile" in done.output


def test_a_dense_bundle_is_benched_without_a_skim_row(tiny_bundle, tmp_path):
    done = run("bench", tiny_bundle("bert", ()), "--limit", 3, "--json", tmp_path / "report.json")
    assert done.exit_code == 0, done.output
    assert [r["name"] for r in json.loads((tmp_path / "report.json").read_text())["rows"]] == ["dense-padded", "dense"]


def test_bench_scores_questions_without_an_answer_as_squad_2_does(minilm_bundle, tmp_path):
    context = "The book was written by Ada Lovelace in 1843."
    answer = {"text": "Ada Lovelace", "answer_start": 24}
    qas = [
        {"id": "1", "question": "Who wrote the book?", "answers": [answer], "is_impossible": False},
        {"id": "2", "question": "What did the astronauts eat on the moon?", "answers": [], "is_impossible": True},
        {"id": "3", "question": "What did the astronauts eat?", "answers": [{"text": "cheese", "answer_start": 3}]},
    ]
    data = tmp_path / "set.json"
    data.write_text(json.dumps({"data": [{"paragraphs": [{"context": context, "qas": qas}]}]}))
    done = run("bench", minilm_bundle, "--dataset", data, "--json", tmp_path / "report.json")
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["dataset"]["notes"] == [
        f"Questions dropped, no answer stands in the context: 1, the first at {data}: data[0].paragraphs[0].qas[2]"
    ]
    assert "Questions dropped, no answer stands in the context: 1" in " ".join(done.output.split())
    for row in report["rows"]:
        assert row["has_answer"] == row["no_answer"] == {"em": 100, "f1": 100, "questions": 1}
        assert row["em"] == row["f1"] == 100
    assert "dense: with an answer EM 100.00, F1 100.00 (1 questions); without EM 100.00" in done.output


def test_a_guessed_form_is_told_before_the_error(tmp_path):
    (tmp_path / "set.json").write_text("[{}]")
    output = " ".join(run("bench", "nowhere", "--dataset", tmp_path / "set.json").output.split())
    assert "Note: " in output
    assert output.index("is read as 'hotpotqa:") < output.index("Error: ") < output.index("[0]: '_id' is missing")


@pytest.mark.parametrize("impossible", [False, True])
def test_the_empty_answer_is_allowed_only_where_a_question_may_have_none(minilm_bundle, impossible):
    rows = make_rows(RecordingPipeline(minilm_bundle))
    question = Question("1", "Who ate cheese on the moon?", "It rained. " * 20, (), ())
    measure(rows, [question], 8, 384, lambda: None, handle_impossible_answer=impossible)
    assert [row.predictions == [""] for row in rows] == [impossible] * 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bench", "nowhere"), "bskim-export MODEL --out nowhere"),
        (("bench", "nowhere", "--dataset", "missing.json"), "There is no file 'missing.json'"),
        (("bench", "nowhere", "--keep-schedule", "1,x"), "numbers separated by commas"),
        (("export", "nowhere/at/all"), "does not exist"),
        (("export", EXAMPLE, "--compute-capability", "8.9"), "pass --backend tensorrt-rtx with it"),
        (("export", EXAMPLE, "--recipe", "int8"), "pass --precision int8 with it"),
        (("export", EXAMPLE, "--backend", "tensorrt-rtx", "--compute-capability", "ada"), "a number like 8.9"),
        (("engine-cost", "nowhere"), "bskim-export MODEL --out nowhere"),
        (("export", EXAMPLE, "--skim-layers", "9"), "no predictor for layers [9]"),
        (("ask", "nowhere", "--question", "Who?"), "--context, or its file"),
        (("ask", "nowhere", "--question", "Who?", "--file", "missing.txt"), "cannot be read"),
    ],
)
def test_mistakes_get_one_clear_error(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert done.exit_code in (1, 2)
    assert message in " ".join(done.output.split())
    assert "Traceback" not in done.output


def test_ask_prints_the_passage_and_the_answer(minilm_bundle, tmp_path):
    (tmp_path / "passage.txt").write_text("The book was written by Ada Lovelace in 1843.")
    done = run("ask", minilm_bundle, "--question", "Who wrote the book?", "--file", tmp_path / "passage.txt")
    assert done.exit_code == 0, done.output
    assert "Answer    Ada Lovelace" in done.output


def test_skimmed_ranges_are_bracketed_with_their_layer():
    answer = {"answer": "b", "start": 2, "end": 3, "skipped": [{"start": 4, "end": 5, "layer": 11}]}
    assert render_passage("a b c d", answer).plain == "a b ⟨c⟩₁₁ d"


def test_export_and_help_read_well():
    shown = run("export", "--help").output
    assert "Examples:" in shown
    assert "--skim-layers" in shown
    assert all(name in run("--help").output for name in ("export", "bench", "ask"))
