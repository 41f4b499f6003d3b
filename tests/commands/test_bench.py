import json
import shutil
from dataclasses import replace

import pytest
from commands.cli import in_one_line, read_json, run, succeed
from support import EXAMPLE

from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.manifest import RunDefaults


def test_the_three_rows_are_written(minilm_bundle, tmp_path):
    succeed("bench", minilm_bundle, "--limit", 6, "--json", tmp_path / "report.json")
    report = read_json(tmp_path / "report.json")
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


def test_the_report_says_what_it_was_measured_with(tiny_bundle, tmp_path):
    """The bundle's own defaults, unless an option says otherwise."""
    shutil.copytree(tiny_bundle(), tmp_path / "bundle")
    bundle = Bundle.open(tmp_path / "bundle")
    Bundle.create(bundle.folder, replace(bundle.manifest, defaults=RunDefaults(256, 40, 7)))
    common = ("bench", tmp_path / "bundle", "--limit", 2, "--json", tmp_path / "report.json")
    expected = {
        "max_seq_len": 256,
        "doc_stride": 40,
        "max_answer_len": 7,
        "top_k": 1,
        "handle_impossible_answer": False,
        "align_to_words": True,
        "batch_size": 8,
        "max_windows": 4096,
        "max_blocks": None,
        "window_scale": "null",
    }
    succeed(*common)
    assert read_json(tmp_path / "report.json")["options"] == expected
    succeed(*common, "--max-seq-len", 64, "--batch-size", 3)
    changed = {"max_seq_len": 64, "doc_stride": 32, "batch_size": 3}
    assert read_json(tmp_path / "report.json")["options"] == expected | changed
    done = run(*common, "--max-seq-len", 9999)
    assert done.exit_code == 1
    assert "max_seq_len is 9999; the bundle was exported for at most 384" in in_one_line(done)


def test_a_keep_schedule_keeps_those_shares_of_the_passage_blocks(minilm_bundle, tmp_path):
    wanted = ("--keep-schedule", "1,0.5,0.2", "--json", tmp_path / "report.json")
    assert "The keep schedule was imposed" in succeed("bench", minilm_bundle, "--limit", 6, *wanted)
    skim = read_json(tmp_path / "report.json")["rows"][2]
    assert skim["kept_blocks"][0] == 1
    assert 0.5 < skim["kept_blocks"][1] < 0.85  # question blocks stay, shares are rounded up
    assert skim["kept_blocks"][2] == skim["kept_blocks"][5] < skim["kept_blocks"][1]


def test_speed_ups_can_be_over_another_bundles_dense_model(minilm_bundle, tiny_bundle, tmp_path):
    wanted = ("--baseline", minilm_bundle, "--warm-up", "--limit", 3, "--json", tmp_path / "report.json")
    assert "over the row 'baseline'" in succeed("bench", tiny_bundle(), *wanted)
    rows = {row["name"]: row for row in read_json(tmp_path / "report.json")["rows"]}
    assert list(rows) == ["dense-padded", "dense", "skim", "baseline"]
    assert rows["baseline"]["speedup_macs"] == rows["baseline"]["speedup_time"] == 1
    assert rows["dense"]["speedup_macs"] > 10  # so much smaller is the tiny model
    assert len(rows["baseline"]["kept_blocks"]) == 6


def test_a_dense_bundle_has_no_skim_row(tiny_bundle, tmp_path):
    succeed("bench", tiny_bundle("bert", ()), "--limit", 3, "--json", tmp_path / "report.json")
    assert [r["name"] for r in read_json(tmp_path / "report.json")["rows"]] == ["dense-padded", "dense"]


def test_questions_without_an_answer_are_scored_as_squad_2_does(minilm_bundle, tmp_path):
    context = "The book was written by Ada Lovelace in 1843."
    answer = {"text": "Ada Lovelace", "answer_start": 24}
    qas = [
        {"id": "1", "question": "Who wrote the book?", "answers": [answer], "is_impossible": False},
        {"id": "2", "question": "What did the astronauts eat on the moon?", "answers": [], "is_impossible": True},
        {"id": "3", "question": "What did the astronauts eat?", "answers": [{"text": "cheese", "answer_start": 3}]},
    ]
    data = tmp_path / "set.json"
    data.write_text(json.dumps({"data": [{"paragraphs": [{"context": context, "qas": qas}]}]}))
    shown = succeed("bench", minilm_bundle, "--dataset", data, "--json", tmp_path / "report.json")
    report = read_json(tmp_path / "report.json")
    assert report["options"]["handle_impossible_answer"]
    assert report["dataset"]["notes"] == [
        f"Questions dropped, no answer stands in the context: 1, the first at {data}: data[0].paragraphs[0].qas[2]"
    ]
    assert "Questions dropped, no answer stands in the context: 1" in shown
    for row in report["rows"]:
        assert row["has_answer"] == row["no_answer"] == {"em": 100, "f1": 100, "questions": 1}
        assert row["em"] == row["f1"] == 100
    assert "dense: with an answer EM 100.00, F1 100.00 (1 questions); without EM 100.00" in shown


def test_a_file_of_no_known_form_is_described(tmp_path):
    (tmp_path / "set.json").write_text("[{}]")
    output = in_one_line(run("bench", "nowhere", "--dataset", tmp_path / "set.json"))
    assert "[0]: an object with the keys [] is no question-answering data that is known here" in output


@pytest.mark.parametrize("option", ["--limit", "--batch-size", "--max-seq-len", "--threads"])
def test_numbers_below_one_are_refused(option):
    done = run("bench", "nowhere", option, 0)
    assert done.exit_code == 2
    assert f"Invalid value for '{option}'" in done.output


def test_the_profile_says_where_the_time_of_a_question_goes(minilm_bundle, tmp_path):
    done = succeed("bench", minilm_bundle, "--limit", 4, "--profile", "--json", tmp_path / "report.json")
    dense, skim = read_json(tmp_path / "report.json")["profile"]
    assert (dense["name"], skim["name"]) == ("dense", "skim")
    assert dense["inside_ms"]["predictors"] == 0 < skim["inside_ms"]["predictors"]
    for row in (dense, skim):
        inside = sum(row["inside_ms"].values())
        assert 0.3 * inside < row["parts_ms"]["engine"] < 3 * inside
    for line in ("tokenise", "decode answers", "engine: attention", "all but the engine"):
        assert line in done
    refused = run("bench", minilm_bundle, "--profile", "--keep-schedule", "1,0.5")
    assert refused.exit_code == 2
    assert "--profile measures the bundle's own rows" in in_one_line(refused)


def test_peers_are_rows_of_the_same_table(minilm_bundle, tmp_path):
    common = ("bench", minilm_bundle, "--limit", 3, "--json", tmp_path / "report.json")
    shown = succeed(*common, "--peers", "torch,optimum", "--model", EXAMPLE)
    names = [row["name"] for row in read_json(tmp_path / "report.json")["rows"]]
    assert names == ["dense-padded", "dense", "skim", "torch fp32", "torch bf16"]
    assert "the fastest dense way with an F1 of at most 0.1 less is" in shown
    assert any("optimum-onnx" in line for line in read_json(tmp_path / "report.json")["dataset"]["notes"])
    assert "there is no peer 'tf'" in in_one_line(run(*common, "--peers", "torch,tf", "--model", EXAMPLE))
    assert "belong together" in in_one_line(run(*common, "--peers", "all"))
    assert "is no checkpoint" in in_one_line(run(*common, "--peers", "all", "--model", tmp_path))
