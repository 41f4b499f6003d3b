"""bskim-paper, at a scale of seconds."""

import json

import pytest
from commands.cli import run

from bskim_export.checkpoint.loading import save_checkpoint
from bskim_export.data.squad import write_squad


@pytest.fixture
def arguments(tiny, squad, tmp_path):
    checkpoint = tiny("bert", ())
    save_checkpoint(checkpoint.model, tmp_path / "model.pt", checkpoint.tokenizer)
    (tmp_path / "data").mkdir()
    write_squad(tmp_path / "data" / "squad-train.json", squad[:20])
    write_squad(tmp_path / "data" / "squad-dev.json", squad[100:110])
    return (
        "--model",
        tmp_path / "model.pt",
        "--data",
        tmp_path / "data",
        "--out",
        tmp_path / "paper",
        "--scale",
        "smoke",
    )


def test_a_table_is_printed_and_written(arguments, tmp_path):
    shown = run("paper", "table2", *arguments)
    assert shown.exit_code == 0, shown.output
    assert "Table 2: runs with several seeds" in shown.output
    assert "88.76" in shown.output
    assert (tmp_path / "paper" / "table2.md").read_text().startswith("# Table 2")
    found = json.loads((tmp_path / "paper" / "table2.json").read_text())
    assert [row["name"] for row in found["figures"]] == ["Vanilla", "Block-Skim"]
    again = run("paper", "table2", *arguments)
    assert shown.stdout.endswith(again.stdout)  # behind the lines of the training


def test_without_squad_there_is_no_table_2(arguments, tmp_path):
    (tmp_path / "data" / "squad-dev.json").unlink()
    shown = run("paper", "table2", *arguments)
    assert shown.exit_code == 1
    assert "no data: squad-dev" in shown.output
