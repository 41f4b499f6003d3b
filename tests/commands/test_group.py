"""`bskim` as a whole: its commands, their options and help, and what the docs say of them."""

import configparser
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from commands.cli import run

import bskim_export
from bskim_export.commands import COMMANDS, MAINTAINER_COMMANDS, USER_COMMANDS, main

ROOT = Path(__file__).parents[2]
LAUNCHERS = ("export", "train", "calibrate", "bench", "prepare", "ask", "serve", "map", "view", "paper")
"""The commands that have a launcher of their own, bskim-export and so on."""

PROMISED = {
    "export": "--out --skim-layers --threshold --max-seq-len --precision --recipe --verify --max-answer-change "
    "--max-block-change --max-f1-drop --backend --compute-capability --max-batch --list-backends",
    "train": "--model --dataset --out --preset --freeze --prune-heads --predictor --layers --block-size --alpha --beta "
    "--layer-weights --skim-training --evidence --epochs --batch-size --learning-rate --predictor-learning-rate "
    "--dropout --max-seq-len --doc-stride --limit --eval-dataset --eval-questions --early-stopping --bf16 --seed "
    "--training-arg",
    "calibrate": "--recipe --dataset --max-f1-drop --risk --confidence --objective --sample --held-out --seed "
    "--max-seq-len --curve --work-dir --backend --precision --threads",
    "bench": "--dataset --limit --seed --batch-size --max-seq-len --backend --precision --threads --threshold "
    "--keep-schedule --baseline --warm-up --json --align-to-words --no-align-to-words --handle-impossible-answer",
    "compare": "--json --align-to-words --no-align-to-words --handle-impossible-answer",
    "prepare": "--out --bundle --backend --precision --threads --json",
    "ask": "--question --context --file --store --threshold --backend --precision --threads --json --top-k "
    "--handle-impossible-answer --align-to-words --no-align-to-words",
}
"""Options that users may have in their scripts."""

DOCS = [ROOT / "README.md", ROOT / "Makefile", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("examples/**/*.md"))]
CALL = re.compile(r"(?:bskim-|bskim |cli\.py |-m bskim_export\.commands )([a-z][a-z-]*)((?:[^\n`|#;]|\\\n)*)")
"""A command in the docs and its arguments, up to the end of the line or of the code."""


def command(name: str) -> click.Command:
    found = main.get_command(click.Context(main), name)
    assert found is not None
    return found


def options(name: str) -> dict[str, click.Option]:
    """Return a command's options by all their spellings."""
    found = [p for p in command(name).params if isinstance(p, click.Option)]
    return {spelling: option for option in found for spelling in (*option.opts, *option.secondary_opts)}


def test_the_help_lists_every_command_in_its_group():
    text = run("--help").output
    users, _, maintainers = text.partition("For maintainers:")
    assert [*USER_COMMANDS, *MAINTAINER_COMMANDS] == list(COMMANDS) == main.list_commands(click.Context(main))
    for shown, commands in ((users.partition("Commands:")[2], USER_COMMANDS), (maintainers, MAINTAINER_COMMANDS)):
        assert re.findall(r"^  (\S+)  ", shown, re.MULTILINE) == list(commands)
        for description in commands.values():
            assert description in " ".join(shown.split())


def test_there_is_no_module_of_a_command_that_is_not_listed():
    modules = {p.stem.replace("_", "-") for p in (ROOT / "bskim_export" / "commands").glob("*.py")}
    assert modules - set(COMMANDS) == {
        "--init--", "--main--", "ask-store", "bench-peers", "bench-profile", "calibrate-report", "common", "export-for",
        "guard", "random-bundle", "terminal", "types",
    }  # fmt: skip


@pytest.mark.parametrize("name", [None, *COMMANDS])
def test_every_command_knows_its_version_and_its_help(name):
    arguments = [name] if name else []
    assert run(*arguments, "--version").output.strip().endswith(f"version {bskim_export.__version__}")
    assert run(*arguments, "-h").output == run(*arguments, "--help").output
    assert run(*arguments, "-h").exit_code == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_may_be_quiet_or_verbose(name):
    assert {"--quiet", "-q", "--verbose", "-v"} <= set(options(name))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_is_for(name):
    """In a text that begins with a word: not with a default, and not with a clause that has no sentence."""
    for spelling, option in options(name).items():
        text = option.help or ""
        assert re.match(r"[A-Za-z'.]", text), f"{name} {spelling}: '{text}'"
        assert not text.startswith("What "), f"{name} {spelling}: '{text}'"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_argument_that_is_a_bundle_is_called_so(name):
    found = command(name)
    assert "ENGINES" not in found.get_help(click.Context(found))
    taken = [p for p in found.params if isinstance(p, click.Argument) and p.default == "engines"]
    assert [p.make_metavar(click.Context(found)) for p in taken] in ([], ["[BUNDLE]"])
    if taken:
        assert "BUNDLE (default: engines/)" in " ".join((found.help or "").split())


@pytest.mark.parametrize("name", PROMISED)
def test_no_option_that_was_there_is_gone(name):
    assert set(PROMISED[name].split()) <= set(options(name))


def test_parity_questions_is_the_first_spelling_of_verify():
    assert options("export")["--verify"].opts == ["--parity-questions", "--verify"]


@pytest.mark.parametrize("path", DOCS, ids=lambda p: p.name)
def test_what_the_docs_call_is_there(path):
    """Every command line in the docs names a command, and only options that it has."""
    for name, arguments in CALL.findall(path.read_text(encoding="utf-8")):
        if name in COMMANDS:
            unknown = set(re.findall(r"(?<!\S)--[a-z0-9-]+", arguments)) - {*options(name), "--help"}
            assert not unknown, f"{path.name}: {name} has no {unknown}"


def test_the_launchers_are_the_commands_of_the_group():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    scripts = setup["options.entry_points"]["console_scripts"].split("\n")
    found = dict(line.split(" = ") for line in scripts if line)
    expected = {f"bskim-{name}": f"bskim_export.commands.{name}:main" for name in LAUNCHERS}
    assert found == {"bskim": "bskim_export.commands:main", **expected}


def test_the_checkouts_launcher_is_the_same_command():
    done = subprocess.run([sys.executable, ROOT / "cli.py", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith(bskim_export.__version__)


def test_help_imports_neither_numpy_nor_torch():
    program = """
import sys
from click.testing import CliRunner
from bskim_export.commands import COMMANDS, main
heavy = {"numpy", "torch", "transformers", "onnxruntime", "tokenizers"}
assert CliRunner().invoke(main, ["--help"]).exit_code == 0
own = {name for name in sys.modules if name.startswith("bskim_export.")}
light = {"atomic", "errors", "locks", *(f"commands{m}" for m in ("", ".common", ".guard", ".terminal", ".types"))}
assert own <= {f"bskim_export.{name}" for name in light}, own
assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
for name in COMMANDS:
    assert CliRunner().invoke(main, [name, "--help"]).exit_code == 0, name
    assert not heavy & sys.modules.keys(), (name, heavy & sys.modules.keys())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_a_command_that_is_not_there_is_refused():
    done = run("exprot")
    assert done.exit_code == 2
    assert "No such command 'exprot'" in done.output
