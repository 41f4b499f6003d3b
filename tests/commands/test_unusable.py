"""One question that cannot be run ends no command: it is left out, counted and named, the same everywhere."""

import shutil
from dataclasses import replace

import pytest
from commands.cli import in_one_line, read_json, run, succeed
from support import EXAMPLE

from bskim_export.data.question import sample
from bskim_export.data.squad import write_squad

NOTE = "Questions left out that cannot be run: 2, the first at id 'the long one': The question has "
CALIBRATION = ("--max-f1-drop", 5, "--sample", 30, "--held-out", 4)
FEW = ("--limit", 3)
RISK = ("--risk", 0.4, "--confidence", 0.6, "--splits", 3)


@pytest.fixture
def unusable(squad):
    """Two questions that fill every window."""
    first = sample(squad, 1)[0]
    return [replace(first, id=name, question="why " * 600) for name in ("the long one", "the other one")]


@pytest.fixture
def file(squad, unusable, tmp_path):
    """Real questions, and between them some that cannot be run."""
    write_squad(tmp_path / "set.json", [*sample(squad, 20, seed=5), *unusable, *sample(squad, 20, seed=6)])
    return tmp_path / "set.json"


@pytest.fixture
def bundle(minilm_bundle, tmp_path):
    return shutil.copytree(minilm_bundle, tmp_path / "bundle")


def test_bench_reports_it_with_the_data_sets_notes(bundle, file, tmp_path):
    assert NOTE in succeed("bench", bundle, "--dataset", file, *FEW, "--json", tmp_path / "report.json")
    report = read_json(tmp_path / "report.json")["dataset"]
    assert report["questions"] == 3
    assert any(note.startswith(NOTE) for note in report["notes"])


@pytest.mark.parametrize(
    ("command", "options"), [("compare", FEW), ("calibrate", CALIBRATION), ("risk-check", RISK), ("parity", FEW)]
)
def test_commands_over_a_bundle_leave_it_out(bundle, file, command, options):
    about = (EXAMPLE, bundle) if command == "parity" else (bundle,)
    assert NOTE in succeed(command, *about, "--dataset", file, *options)


def test_predictors_leave_it_out(file):
    shown = succeed("predictors", EXAMPLE, "--dataset", file, "--limit", 39)
    assert NOTE in shown
    assert "39 questions" in shown


@pytest.mark.parametrize("command", ["bench", "compare"])
def test_if_none_is_left_the_command_says_so_at_once(bundle, unusable, tmp_path, command):
    write_squad(tmp_path / "set.json", unusable)
    done = run(command, bundle, "--dataset", tmp_path / "set.json")
    assert done.exit_code == 1
    assert "Error: None of the 2 questions can be run, the first with the id 'the long one': The" in in_one_line(done)
