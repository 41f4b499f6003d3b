"""What all commands share: errors in one line, interruption, and options that are read."""

import json
import logging
import os
import signal
import subprocess
import sys
import unicodedata
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from commands.cli import in_one_line, run
from rich.table import Table
from rich.text import Text
from support import EXAMPLE

from bskim_export.commands import COMMANDS, main
from bskim_export.commands.common import (
    command,
    deliver,
    needs_extra,
    parse_capability,
    parse_numbers,
    progress_bar,
    write_report,
)
from bskim_export.commands.terminal import busy, console, note
from bskim_export.commands.types import Real, Whole
from bskim_export.errors import InputError, InternalError, MissingExtraError, only_own_errors


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


def failing_inside(error: BaseException) -> InternalError:
    """Return what the library raises where it meets an error that it did not foresee."""

    @only_own_errors
    def fails():
        raise error

    with pytest.raises(InternalError) as caught:
        fails()
    return caught.value


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ZeroDivisionError("x"), "Unexpected ZeroDivisionError: x. This is a fault of bskim-export. Please report it"),
        (RecursionError("deep"), "Unexpected RecursionError: deep. This is a fault"),
        (MemoryError(), "Out of memory. Try fewer"),
        (failing_inside(ZeroDivisionError("x")), "Unexpected ZeroDivisionError: x. This is a fault of bskim-export"),
        (failing_inside(MemoryError()), "Out of memory. Try fewer"),
        (PermissionError(13, "Permission denied", "a.json"), "'a.json': Permission denied."),
        (InputError("Two\nlines"), "Two lines"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_comes_is_one_line_and_verbose_adds_where_it_came_from(error, message):
    @command
    def fails() -> None:
        """Fail."""
        raise error

    done = CliRunner().invoke(fails, [])
    assert done.exit_code == 1
    assert done.output.startswith(f"Error: {message}")
    assert done.output.count("\n") == 1
    told = CliRunner().invoke(fails, ["--verbose"])
    assert told.exit_code == 1
    assert "Traceback (most recent call last)" in told.output
    assert told.output.endswith(done.output)


def test_an_interruption_is_130_and_an_abort_too():
    for error in (KeyboardInterrupt, click.Abort):

        @command
        def stops(error=error) -> None:
            """Stop."""
            raise error

        done = CliRunner().invoke(stops, [])
        assert (done.exit_code, done.output) == (130, "Interrupted; nothing is left half-written.\n")


def test_quiet_leaves_results_and_errors_and_the_next_call_is_not_quiet():
    @command
    def tells() -> None:
        """Tell."""
        note("a note")
        console.print("a result")
        with progress_bar() as bar:
            bar.add_task("a bar")
        raise InputError("an error")

    loud = CliRunner().invoke(tells, [])
    quiet = CliRunner().invoke(tells, ["--quiet"])
    assert all(text in loud.output for text in ("Note: a note", "a result", "a bar", "Error: an error"))
    assert quiet.output.splitlines() == ["a result", "Error: an error"]
    assert loud.stdout == "a result\n"  # all else is on standard error
    assert CliRunner().invoke(tells, []).output == loud.output


def test_verbose_shows_log_lines():
    @command
    def logs() -> None:
        """Log."""
        logging.getLogger("bskim_export").info("opened [bold]\x1b[2J")

    assert CliRunner().invoke(logs, ["-v"]).stderr == "opened [bold]\\x1b[2J\n"
    assert CliRunner().invoke(logs, []).output == ""


HOSTILE = "a\x1b]0;owned\x07b\x9b2Jc\x7fd[bold]e[/nope]:heart:"
SHOWN = "a\\x1b]0;ownedb\\x9b2Jc\\x7fd[bold]e[/nope]:heart:"
"""The bell is left out by rich."""


def test_strangers_texts_are_shown_and_not_obeyed():
    """In plain lines, styled texts, tables with titles, notes, errors, progress, and what click says of a call."""

    @command
    @click.option("--number", type=Whole())
    def shows(number: int) -> None:
        """Show."""
        table = Table(title=HOSTILE)
        table.add_column(HOSTILE)
        table.add_row(HOSTILE)
        for what in (HOSTILE, Text.assemble((HOSTILE, "bold green")), table):
            console.print(what)
        note(HOSTILE)
        with busy(HOSTILE), progress_bar() as bar:
            bar.add_task(HOSTILE, total=1)
        raise InputError(HOSTILE)

    for arguments in ([], ["--number", HOSTILE], [f"--{HOSTILE}"], [HOSTILE]):
        done = CliRunner().invoke(shows, arguments)
        assert not [c for c in done.output if c != "\n" and unicodedata.category(c) == "Cc"], arguments
        assert "\\x1b]0;owned" in done.output
    shown = CliRunner().invoke(shows, [])
    assert shown.output.replace("\\x07", "").count(SHOWN) == 5  # but for what is cut to its column
    assert shown.exit_code == 1


def test_what_is_worked_out_is_delivered_even_if_one_way_fails(tmp_path):
    def fail() -> None:
        raise InputError("first")

    with pytest.raises(InputError, match="first"):
        deliver(fail, lambda: write_report(tmp_path / "x.json", {"x": 1}), lambda: (tmp_path / "gone" / "y").touch())
    assert (tmp_path / "x.json").read_text() == '{\n  "x": 1\n}\n'


PRINTS = """
import sys
from pathlib import Path
from bskim_export.commands.common import command, deliver, json_option, write_report
from bskim_export.commands.terminal import console
@command
@json_option
def prints(json_path):
    deliver(lambda: [console.print("é ⟨₀⟩ " * 100) for _ in range(100)], lambda: write_report(json_path, {"x": "é"}))
prints()
"""


@pytest.mark.parametrize(
    ("redirection", "code", "said"),
    [
        (">&-", 0, ""),
        (">/dev/full", 1, "Error: Standard output cannot be written (No space left on device)."),
        ("| true; exit ${PIPESTATUS[0]}", 141, ""),
        (">&- 2>&-", 0, ""),
        ("2>/dev/full >/dev/full", 1, ""),
        ("<&-", 0, ""),
    ],
)
def test_the_work_is_kept_whatever_standard_output_is(redirection, code, said, tmp_path):
    shell = f'"$0" -c "$1" --json x.json {redirection}'
    if "true" in redirection:  # a reader that has gone before anything is written
        shell = shell.replace("| true", "| { exec <&-; sleep 0; }")
    done = subprocess.run(
        ["bash", "-c", shell, sys.executable, PRINTS], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    assert done.stderr.strip() == said
    assert json.loads((tmp_path / "x.json").read_text()) == {"x": "é"}


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_a_console_that_has_not_every_letter_gets_escapes(encoding):
    done = subprocess.run([sys.executable, "-c", PRINTS], capture_output=True, check=True,
                          env=os.environ | {"PYTHONUTF8": "0", "PYTHONIOENCODING": encoding})  # fmt: skip
    assert ("é ⟨₀⟩" if encoding == "utf-8" else "\\u27e8\\u2080\\u27e9") in done.stdout.decode(encoding)


@pytest.mark.parametrize("arguments", [["--json", "-"], ["--json"]])
def test_json_to_standard_output_is_alone_there(arguments):
    done = subprocess.run([sys.executable, "-c", PRINTS, *arguments], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"x": "é"}
    assert "⟨₀⟩" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("bench", "--json"), ("compare", "--json"), ("kernel-cost", "--json"), ("gpu-bench", "--json"),
        ("ask", "--json"),
        ("calibrate", "--curve"), ("train", "--model", "m", "--dataset", "d", "--out"), ("export", "m", "--out"),
        ("calibrate", "--work-dir"), ("risk-check", "--work-dir"), ("publish", "m"), ("export-cost", "--out"),
        ("gpu-bench", "--out"),
    ],
    ids=lambda a: " ".join(a),
)  # fmt: skip
@pytest.mark.parametrize("place", ["file/x.json", "x" * 256, "", "loop/x", "new\0line"])
def test_a_place_that_cannot_be_written_is_refused_before_anything_else(arguments, place, tmp_path, monkeypatch):
    """The bundles, models and data sets of these calls do not exist: nobody has looked for them yet."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    question = ("--question", "Who?", "--context", "It.") if arguments[0] == "ask" else ()
    done = run(arguments[0], *question, *arguments[1:], place)
    assert done.exit_code in (1, 2)
    said = in_one_line(done)
    assert any(text in said for text in ("cannot be written", "is empty", "holds a NUL", "Choose another --out"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "loop"]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "NaN", "1e999"])
def test_no_number_is_infinite_or_none(value):
    """Of any option of any command."""
    for name in COMMANDS:
        found = main.get_command(click.Context(main), name)
        for option in found.params:
            if isinstance(option.type, click.types.FloatParamType | click.FloatRange):
                done = run(name, option.opts[0], value)
                assert done.exit_code == 2, (name, option.opts)
                assert isinstance(option.type, Real), (name, option.opts)
            assert type(option.type) is not click.IntRange, (name, option.opts)
            assert not isinstance(option.type, click.types.IntParamType) or isinstance(option.type, Whole), option.opts
    with pytest.raises(click.BadParameter):
        parse_numbers(float)(click.Context(main), click.Option(["--any"]), f"1,{value}")


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
