import json
import re
from pathlib import Path

import pytest
from commands.cli import in_one_line, read_json, run, succeed


def data_of(path: Path) -> dict:
    """Return what is in the data of a page."""
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


@pytest.fixture
def data_set(tmp_path):
    """A file with two questions that can be run, one of them without an answer, and one that cannot."""
    context = "Ada wrote the notes in 1843. </script><b>"
    ada = {"text": ["Ada"], "answer_start": [0]}
    entries = [
        {"id": "good", "question": "Who wrote the notes?", "context": context, "answers": ada},
        {"id": "none", "question": "Who sang?", "context": context, "answers": {"text": [], "answer_start": []}},
        {"id": "long", "question": "why " * 600, "context": context, "answers": ada},
    ]
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(map(json.dumps, entries)), encoding="utf-8")
    return path


def test_the_figures_are_those_of_compare(minilm_bundle, tmp_path):
    arguments = (minilm_bundle, "--limit", 6, "--threshold", 0.3)
    said = succeed("view", *arguments, "--out", tmp_path / "page.html")
    succeed("compare", *arguments, "--json", tmp_path / "compare.json")
    expected = read_json(tmp_path / "compare.json")
    found = data_of(tmp_path / "page.html")
    assert found["summary"]["parts"] == expected["parts"]
    assert found["options"] == expected["options"]
    assert f"6 questions: F1 {expected['parts'][0]['f1_difference']:+.2f}" in said
    assert "Written: " in said


def test_questions_that_cannot_be_run_are_left_out_and_counted(minilm_bundle, data_set, tmp_path):
    done = run("view", minilm_bundle, "--dataset", data_set, "--out", tmp_path / "page.html")
    assert done.exit_code == 0, done.output
    assert "Questions left out that cannot be run: 1" in in_one_line(done)
    found = data_of(tmp_path / "page.html")
    assert {q["id"] for q in found["questions"]} == {"good", "none"}
    assert found["left_out"] == 1
    assert found["options"]["handle_impossible_answer"]


def test_a_page_of_a_bundle_that_skims_nothing_has_no_curve(tiny_bundle, tmp_path):
    succeed("view", tiny_bundle(), "--limit", 2, "--threshold", 0, "--out", tmp_path / "page.html", "--repeats", 2)
    found = data_of(tmp_path / "page.html")
    assert found["curve"] is None
    assert found["summary"]["parts"][0]["different_answers"] == 0
    assert found["repeats"] == 2


def test_a_place_that_cannot_be_written_is_refused_first(tmp_path):
    done = run("view", tmp_path / "nowhere", "--out", tmp_path)
    assert done.exit_code == 1
    assert "directory" in in_one_line(done)


def test_the_page_must_be_named(minilm_bundle):
    assert "Missing option '--out'" in run("view", minilm_bundle).output
