"""How the tests of this folder run the command line: in this process, as a user would call `bskim`."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from bskim_export.commands import main


def run(*arguments: object) -> Result:
    """Run `bskim` with arguments, whatever their type."""
    return CliRunner().invoke(main, [str(a) for a in arguments])


def succeed(*arguments: object) -> str:
    """Run `bskim`, which must not fail, and return what it printed, in one line."""
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    return in_one_line(done)


def in_one_line(done: Result) -> str:
    """Return what a command printed, its line breaks as spaces."""
    return " ".join(done.output.split())


def read_json(path: Path) -> Any:
    """Return the content of a report."""
    return json.loads(path.read_text(encoding="utf-8"))
