"""What the commands share: errors as one line, tidy interruption."""

import functools
import signal
import sys

import click
from rich.console import Console

from bskim_export.backends.base import Backend
from bskim_export.backends.catalogue import DEFAULT, open_backend
from bskim_export.backends.choose import choose_backend
from bskim_export.bundle import read_manifest
from bskim_export.errors import BskimError, InputError

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
            errors.print("Interrupted; nothing is left half-written.")
            sys.exit(130)

    return wrapped


def note(message: str) -> None:
    """Print a line that is no error but should be seen: what a reader of data dropped, corrected or guessed."""
    errors.print(f"[yellow]Note:[/yellow] {_plain(message)}", soft_wrap=True, highlight=False)


def backend_options(command):
    """Add --backend, --precision and --threads: the arguments of `open_for`."""
    for option in (
        click.option("--threads", type=click.IntRange(min=1), help="[default: the cores this process may use]"),
        click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True,
                     help="What the backend computes in."),
        click.option("--backend", "backend_name", metavar="NAME", help="What runs the graphs; `bskim-export "
                     "--list-backends` lists them.  [default: what the bundle holds engines for, if that runs here; "
                     "else onnxruntime]"),
    ):  # fmt: skip
        command = option(command)
    return command


def open_for(engines, name: str | None, threads: int | None, precision: str) -> Backend:
    """Return the backend that is asked for; if none is, the one for this bundle, and say why if it holds engines."""
    if name is not None or precision != "fp32":
        return open_backend(name or DEFAULT, threads, precision)
    manifest = read_manifest(engines)
    backend, reason = choose_backend(manifest, threads)
    if manifest.engines:
        console.print(f"Runs on {backend.name}: {reason}.", highlight=False, markup=False)
    return backend


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


def parse_capability(text: str) -> tuple[int, int]:
    """Read the compute capability of a GPU, like "8.9". Raises InputError if it is none."""
    major, dot, minor = text.strip().partition(".")
    if not (dot and major.isdigit() and minor.isdigit()):
        raise InputError(f"A compute capability is a number like 8.9, got '{text}'.")
    return int(major), int(minor)


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
