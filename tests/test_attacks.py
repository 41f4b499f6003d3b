"""The short forms of `make attack`, each as its own process: what a stranger's input and a crowd of callers may do."""

import subprocess
import sys
from pathlib import Path

import pytest

ATTACK = Path(__file__).parent / "attack"


def run(name: str, *arguments: object) -> str:
    """Run one of the scripts, and return what it printed."""
    command = [sys.executable, str(ATTACK / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=ATTACK.parents[1])
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_hostile_data_files_end_in_questions_or_an_error_of_ours():
    assert "0 of 150 failed" in run("data_files.py", "--count", 150, "--seed", 11)


@pytest.mark.parametrize("seed", [0, 1])
def test_odd_arguments_end_in_an_answer_or_an_error_of_ours(tiny_bundle, seed):
    out = run("arguments.py", tiny_bundle(), "--count", 250, "--seed", seed)
    assert "'answered':" in out
    assert "'refused':" in out


def test_many_callers_get_what_one_caller_gets(tiny_bundle):
    # So few requests say nothing of memory, which takes a thousand to settle.
    out = run("load.py", tiny_bundle(), "--callers", 8, "--count", 300, "--distinct", 60)
    assert "300 requests by 8 callers" in out
    assert "\n0 differ from the same request made alone\n" in out


def test_killed_exports_calibrations_trainings_and_publications_lose_nothing(tmp_path):
    out = run("kills.py", "--count", 4, "--seed", 5, "--state", tmp_path)
    assert "\n4 kills (" in out
    assert "half-written" not in out
    assert "lost" not in out
