import re

import pytest
from commands.cli import in_one_line, run
from support import EXAMPLE

from bskim_export.checkpoint.loading import save_checkpoint
from bskim_export.training.separation import RECALLS

ROW = re.compile(r"^ +(\d+) +(0\.\d+|1\.000)" + len(RECALLS) * r" +(\d+\.\d)%" + r" *$", re.MULTILINE)


def table(*arguments) -> list[list[float]]:
    """Return the rows that the command prints: layer, AUC, shares in percent."""
    done = run("predictors", *arguments)
    assert done.exit_code == 0, done.output
    return [[float(cell) for cell in row] for row in ROW.findall(done.output)]


def test_trained_predictors_know_answers_at_every_layer():
    rows = table(EXAMPLE, "--limit", 30)
    assert [row[0] for row in rows] == [0, 1, 2, 3, 4, 5]
    for _, auc, *kept in rows:
        assert auc > 0.8
        assert 0 < kept[0] <= kept[1] <= kept[2] <= 100


def test_random_ones_know_nothing(tiny, tmp_path):
    save_checkpoint(tiny().model, tmp_path / "random.pt", tiny().tokenizer)
    rows = table(tmp_path / "random.pt", "--limit", 30)
    assert [row[0] for row in rows] == [0, 1, 2]
    assert sum(auc for _, auc, *_ in rows) / 3 == pytest.approx(0.5, abs=0.15)


def test_a_model_without_predictors_is_told_how_to_get_some(tiny, tmp_path):
    checkpoint = tiny("bert", ())
    save_checkpoint(checkpoint.model, tmp_path / "dense.pt", checkpoint.tokenizer)
    done = run("predictors", tmp_path / "dense.pt", "--limit", 2)
    assert done.exit_code == 1
    assert "has no predictors. Give it some: bskim-train --freeze --model" in in_one_line(done)
