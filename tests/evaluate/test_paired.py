import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from bskim_export import QAPipeline
from bskim_export.bench.rows import RecordingPipeline, make_rows, measure, summarise
from bskim_export.commands import main
from bskim_export.data.question import sample
from bskim_export.evaluate.paired import answer_all, bootstrap, figures


def test_scores_and_macs_are_those_of_the_benchmark(minilm_bundle, squad):
    questions = sample(squad, 12, seed=21)
    rows = make_rows(RecordingPipeline(minilm_bundle, threshold=0.3))
    measure(rows, questions, 8, 384, lambda: None)
    for row, threshold in ((rows[1], 0), (rows[2], 0.3)):
        ours = answer_all(QAPipeline(minilm_bundle, threshold=threshold), questions, 384, 128)
        theirs = summarise(row, rows[1], questions, "")
        assert ours.text == row.predictions
        assert 100 * ours.f1.mean() == pytest.approx(theirs["f1"])
        assert ours.macs.sum() / 1e9 == pytest.approx(theirs["gmacs_per_question"] * len(questions))


def test_questions_with_supporting_facts_are_kept_apart(minilm_bundle, squad):
    questions = sample(squad, 8, seed=22)
    questions[:3] = [replace(q, supporting=((0, 5),)) for q in questions[:3]]
    dense = answer_all(QAPipeline(minilm_bundle, threshold=0), questions, 384, 128)
    whole, supported, rest = figures(questions, {"a": dense, "b": dense})
    assert (whole["questions"], supported["questions"], rest["questions"]) == (8, 3, 5)
    assert whole["f1_difference"] == whole["different_answers"] == 0
    assert supported["rows"]["a"]["f1"] == pytest.approx(100 * dense.f1[:3].mean())


def test_the_interval_holds_the_true_mean_about_as_often_as_it_says():
    random = np.random.default_rng(3)
    hits = 0
    for seed in range(60):
        low, high = bootstrap(random.normal(0.3, 1.0, 200), seed)
        hits += low <= 0.3 <= high
    assert 50 <= hits <= 60


def test_the_command_prints_both_ways_and_writes_them(minilm_bundle, tmp_path):
    out = tmp_path / "figures.json"
    arguments = ["compare", str(minilm_bundle), "--limit", "6", "--threshold", "0.3", "--json", str(out)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    (part,) = json.loads(out.read_text())["parts"]
    assert part["rows"].keys() == {"dense", "skim"}
    assert part["rows"]["skim"]["speedup_macs"] > 1
    result = CliRunner().invoke(main, ["compare", str(minilm_bundle), str(minilm_bundle), "--limit", "4"])
    assert result.exit_code == 0, result.output
    assert "0 answers differ" in result.output
