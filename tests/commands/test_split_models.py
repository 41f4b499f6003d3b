"""Commands that measure and calibrate split models."""

import shutil

import pytest
from commands.cli import in_one_line, read_json, run, succeed

from bskim_export import QAPipeline
from bskim_export.data.documents import whole_articles
from bskim_export.data.squad import write_squad


@pytest.fixture(scope="module")
def data(squad, tmp_path_factory):
    """A file of two short articles, 30 questions."""
    path = tmp_path_factory.mktemp("data") / "two.json"
    titles = list(dict.fromkeys(q.title for q in squad))
    own = [[q for q in squad if q.title == title] for title in titles[:2]]
    write_squad(path, [q for questions in own for q in questions[:15]])
    return path


def test_prepared_documents_are_measured_beside_an_unsplit_model(split_bundle, tiny_bundle, data, tmp_path):
    dense = tiny_bundle("bert", (0, 1, 2), "question")
    text = succeed("prepared-cost", split_bundle, "--against", dense, "--dataset", f"articles:{data}", "--timed", 6,
                   "--max-blocks", 3, "--json", tmp_path / "report.json")  # fmt: skip
    found = read_json(tmp_path / "report.json")
    rows = {row["name"]: row for row in found["rows"]}
    assert [*rows] == ["14 blocks", "14 blocks, int8 states", "3 blocks", "every block", "unsplit, dense"]
    assert [row["questions"] for row in rows.values()] == [30, 30, 30, 6, 6]
    assert found["documents"] == 2
    assert found["differ_unprepared"] == 0
    assert "0 of 30 answers differ" in text
    assert found["int8_bytes_per_token"] < found["bytes_per_token"]
    assert 0 <= found["found"]["1"] <= found["found"]["4"] <= found["found"]["16"] <= 1
    assert found["prepare_over_lower"] > 0


def test_the_figures_of_chosen_blocks_are_those_of_a_pipeline(split_bundle, squad, data, tmp_path):
    succeed("prepared-cost", split_bundle, "--dataset", f"articles:{data}", "--timed", 1, "--json", tmp_path / "r.json")
    qa = QAPipeline(split_bundle)
    from bskim_export.data.metrics import f1
    from bskim_export.data.readers import read_questions

    questions = read_questions(f"articles:{data}")
    scores = [100 * f1(qa(question=q.question, context=q.context)["answer"], q.gold) for q in questions]
    row = read_json(tmp_path / "r.json")["rows"][0]
    assert row["f1"] == pytest.approx(sum(scores) / len(scores))


def test_a_large_store_is_measured(split_bundle, tmp_path):
    text = succeed("store-cost", split_bundle, "--documents", 25, "--words", 120, "--questions", 3, "--json",
                   tmp_path / "report.json")  # fmt: skip
    assert "25 documents" in text
    assert read_json(tmp_path / "report.json")


def test_a_split_model_is_calibrated(split_bundle, squad, tmp_path):
    bundle = shutil.copytree(split_bundle, tmp_path / "bundle")
    write_squad(tmp_path / "some.json", whole_articles(squad[:200])[:60])
    arguments = ("calibrate", bundle, "--dataset", tmp_path / "some.json", "--sample", 24, "--held-out", 4,
                 "--max-f1-drop", 100)  # fmt: skip
    text = succeed(*arguments)
    manifest = QAPipeline(bundle).bundle.manifest
    assert manifest.split.max_blocks == 3
    assert "chosen" in text
    assert "held-out, chosen" in text
    evidence = read_json(bundle / "report.json")["calibration"]
    assert evidence["max_blocks"] == 3
    for more in (("--documents",), ("--curve", tmp_path / "c.json")):
        refused = run(*arguments, *more)
        assert refused.exit_code == 1
        assert "pass neither --documents nor --curve" in in_one_line(refused)
    refused = run(*arguments[:-2], "--risk", 0.2)
    assert "--max-f1-drop only" in in_one_line(refused)
    assert QAPipeline(bundle).bundle.manifest == manifest
