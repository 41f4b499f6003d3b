"""What all commands share: errors in one line, interruption, and options that are read."""

import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from commands.cli import in_one_line, run
from support import EXAMPLE

from bskim_export.commands.common import command, needs_extra, parse_capability, parse_numbers
from bskim_export.errors import InputError, MissingExtraError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bench", "nowhere"), "bskim-export MODEL --out nowhere"),
        (("bench", "nowhere", "--dataset", "missing.json"), "There is no file 'missing.json'"),
        (("bench", "nowhere", "--keep-schedule", "1,x"), "numbers separated by commas"),
        (("compare", "nowhere"), "bskim-export MODEL --out nowhere"),
        (("overhead", "nowhere"), "bskim-export MODEL --out nowhere"),
        (("cold-start", "nowhere"), "bskim-export MODEL --out nowhere"),
        (("parity", EXAMPLE, "nowhere"), "bskim-export MODEL --out nowhere"),
        (("risk-check", "nowhere"), "bskim-export MODEL --out nowhere"),
        (("engine-cost", "nowhere"), "bskim-export MODEL --out nowhere"),
        (("publish", EXAMPLE, "out", "--thresholds", "nowhere"), "bskim-export MODEL --out nowhere"),
        (("publish", "nowhere/at/all", "out"), "does not exist"),
        (("predictors", "nowhere/at/all"), "does not exist"),
        (("export", "nowhere/at/all"), "does not exist"),
        (("export", EXAMPLE, "--compute-capability", "8.9"), "pass --backend tensorrt-rtx with it"),
        (("export", EXAMPLE, "--recipe", "int8"), "pass --precision int8 with it"),
        (("export", EXAMPLE, "--max-f1-drop", "1"), "the limits are for less"),
        (("export", EXAMPLE, "--backend", "tensorrt-rtx", "--compute-capability", "ada"), "a number like 8.9"),
        (("export", EXAMPLE, "--skim-layers", "9"), "no predictor for layers [9]"),
        (("export-cost", "--shape", "bert-huge", "--tokenizer", EXAMPLE), "There is no shape 'bert-huge'"),
        (("export-cost", "--tokenizer", "nowhere"), "'nowhere' has no tokenizer"),
        (("gpu-bench", "--backend", "abacus"), "'abacus' is not one of onnxruntime, "),
        (("ask", "nowhere", "--question", "Who?"), "--context, or its file"),
        (("ask", "nowhere", "--question", "Who?", "--context", "It.", "--file", "a.txt"), "--context, or its file"),
        (("ask", "nowhere", "--question", "Who?", "--file", "missing.txt"), "cannot be read"),
    ],
)
def test_mistakes_get_one_clear_error(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert done.exit_code in (1, 2)
    assert message in in_one_line(done)
    assert "Traceback" not in done.output
    assert not list(tmp_path.iterdir())


def test_a_missing_library_is_named_with_the_extra_that_brings_it():
    refused = pytest.raises(MissingExtraError, match=r"A test needs 'nothing_like_it'.*bskim-export\[export\]")
    with refused, needs_extra("export", "A test"):
        import nothing_like_it  # noqa: F401


def test_an_expected_error_is_one_line_and_brackets_are_kept():
    @command
    def fails() -> None:
        """Fail."""
        raise InputError("data[0].paragraphs[1] is [bold]missing")

    done = CliRunner().invoke(fails, [])
    assert done.exit_code == 1
    assert done.output == "Error: data[0].paragraphs[1] is [bold]missing\n"


def test_other_errors_are_bugs_and_keep_their_traceback():
    @command
    def fails() -> None:
        """Fail."""
        raise ZeroDivisionError

    assert isinstance(CliRunner().invoke(fails, []).exception, ZeroDivisionError)


def test_sigterm_ends_a_command_as_ctrl_c_does(tmp_path):
    program = f"""
import sys, time
from pathlib import Path
from bskim_export.commands.common import command
@command
def sleeps():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        Path({str(tmp_path / "cleaned")!r}).touch()
sleeps([])
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == "Interrupted; nothing is left half-written.\n"
    assert Path(tmp_path / "cleaned").exists()


def test_lists_of_numbers_are_read():
    context = click.Context(click.Command("any"))
    option = click.Option(["--any"])
    assert parse_numbers(int)(context, option, "1,3,5") == [1, 3, 5]
    assert parse_numbers(float)(context, option, "1,0.5") == [1.0, 0.5]
    assert parse_numbers(int)(context, option, None) is None
    with pytest.raises(click.BadParameter, match="separated by commas, got '1;3'"):
        parse_numbers(int)(context, option, "1;3")


@pytest.mark.parametrize("text", ["8", "8.", ".9", "ada", "8.9.0", "-8.9"])
def test_a_compute_capability_has_two_numbers(text):
    assert parse_capability(" 12.0 ") == (12, 0)
    with pytest.raises(InputError, match="A compute capability is a number like"):
        parse_capability(text)
