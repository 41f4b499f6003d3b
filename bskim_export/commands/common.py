"""What the commands share: errors as one line, tidy interruption."""

import functools
import signal
import sys

import click
from rich.console import Console

from bskim_export.errors import BskimError

console = Console(width=None if sys.stdout.isatty() else 100)
errors = Console(stderr=True)


def tidy(function):
    """Turn an expected error into one line and exit code 1, and SIGTERM into Ctrl-C, so that clean-up runs."""

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            return function(*args, **kwargs)
        except BskimError as error:
            errors.print(f"[red]Error:[/red] {_plain(str(error))}", soft_wrap=True, highlight=False)
            sys.exit(1)
        except KeyboardInterrupt:
            errors.print("Interrupted; nothing was written.")
            sys.exit(130)

    return wrapped


def note(message: str) -> None:
    """Print a line that is no error but should be seen: what a reader of data dropped, corrected or guessed."""
    errors.print(f"[yellow]Note:[/yellow] {_plain(message)}", soft_wrap=True, highlight=False)


def backend_options(command):
    """Add --backend, --precision and --threads: the arguments of `open_backend`."""
    for option in (
        click.option("--threads", type=click.IntRange(min=1), help="[default: the cores this process may use]"),
        click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True,
                     help="What the backend computes in."),
        click.option("--backend", "backend_name", default="onnxruntime", show_default=True, metavar="NAME",
                     help="What runs the graphs. `bskim-export --list-backends` lists them."),
    ):  # fmt: skip
        command = option(command)
    return command


def parse_numbers(kind):
    """Return a click callback that reads "1,3,5" as a list of `kind`."""

    def callback(context, parameter, value):
        if value is None:
            return None
        try:
            return [kind(part) for part in value.split(",")]
        except ValueError:
            raise click.BadParameter(f"expected numbers separated by commas, got '{value}'") from None

    return callback


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
