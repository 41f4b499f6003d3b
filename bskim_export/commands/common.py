"""Shared by the commands: how a command is made, its errors and notes, and options that several have.

Imports no numpy, so that `bskim --help` is there at once.
"""

import functools
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import click
from rich.console import Console

import bskim_export
from bskim_export.errors import BskimError, InputError, missing_extra

if TYPE_CHECKING:
    from bskim_export.backends.base import Backend

Parameters = ParamSpec("Parameters")
Number = TypeVar("Number", int, float)
Decorated = TypeVar("Decorated", bound=Callable[..., object])

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
"""Of the group and of every command."""

console = Console(width=None if sys.stdout.isatty() else 100)
errors = Console(stderr=True)

with_version = click.version_option(bskim_export.__version__)
"""Adds --version to a command that is made."""

bundle_argument = click.argument("bundle", type=click.Path(path_type=Path), default="engines")
dataset_option = click.option(
    "--dataset",
    default="squad",
    show_default=True,
    metavar="SPEC",
    help="The questions: squad (the packaged dev set), a file, ...; see docs/datasets.md.",
)
seed_option = click.option("--seed", type=int, default=42, show_default=True, help="Seed of the draw.")
limit_option = click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="A random sample of N questions.  [default: all]"
)
max_seq_len_option = click.option(
    "--max-seq-len", type=click.IntRange(min=1), help="Positions of a window.  [default: the bundle's]"
)
threshold_option = click.option(
    "--threshold", type=click.FloatRange(0, 1), help="For every layer, instead of the bundle's thresholds."
)
json_option = click.option(
    "--json", "json_path", type=click.Path(path_type=Path), metavar="FILE", help="Write the figures as JSON."
)


def command(function: Callable[..., None]) -> click.Command:
    """Make a command of a function that has its arguments and options; its docstring is the help.

    The command has -h and --version, and ends with one line where an error is expected; see `handle_errors`.
    """
    return with_version(click.command(context_settings=SETTINGS)(handle_errors(function)))


def handle_errors(function: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Turn an expected error into one line and exit code 1, and SIGTERM into Ctrl-C, so that clean-up runs."""

    @functools.wraps(function)
    def wrapped(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
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


@contextmanager
def needs_extra(extra: str, purpose: str) -> Iterator[None]:
    """Turn a failed import into the error that says which pip extra brings the library.

    Args:
        extra: the name of the pip extra
        purpose: names the thing that needs the library; the message begins with it

    Raises:
        MissingExtraError: an import failed.
    """
    try:
        yield
    except ImportError as error:
        raise missing_extra(error.name or extra, extra, purpose) from error


def note(message: str) -> None:
    """Print a line that is no error but should be seen: data that a reader dropped, corrected or guessed."""
    errors.print(f"[yellow]Note:[/yellow] {_plain(message)}", soft_wrap=True, highlight=False)


def backend_options(command: Decorated) -> Decorated:
    """Add --backend, --precision and --threads: the arguments of `open_for`."""
    for option in (
        click.option("--threads", type=click.IntRange(min=1), help="Threads for one operator.  [default: the cores "
                     "that this process may use]"),
        click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True,
                     help="The precision that the backend computes in."),
        click.option("--backend", "backend_name", metavar="NAME", help="The backend that runs the graphs; "
                     "`bskim-export --list-backends` lists them.  [default: the one that the bundle holds engines "
                     "for, if that runs here; else onnxruntime]"),
    ):  # fmt: skip
        command = option(command)
    return command


def open_for(bundle: Path, name: str | None, threads: int | None, precision: str) -> "Backend":
    """Return the backend that is asked for; if none is, the one for this bundle, and say why if it holds engines.

    Args:
        bundle: the bundle's directory
        name, precision, threads: of `backend_options`

    Raises:
        BundleError: there is no bundle, or its manifest cannot be used.
        InputError, MissingExtraError: see `open_backend`.
    """
    from bskim_export.backends.catalogue import DEFAULT, open_backend
    from bskim_export.backends.choose import choose_backend
    from bskim_export.bundle.bundle import Bundle

    if name is not None or precision != "fp32":
        return open_backend(name or DEFAULT, threads, precision)
    manifest = Bundle.open(bundle, verify=False).manifest
    backend, reason = choose_backend(manifest, threads)
    if manifest.engines:
        console.print(f"Runs on {backend.name}: {reason}.", highlight=False, markup=False)
    return backend


def calibration_folder(bundle: Path) -> Path:
    """Return where the finished work of a bundle's threshold calibration is kept: engines/ -> engines.calibration/

    Example:
        >>> calibration_folder(Path("/srv/engines/")).as_posix()
        '/srv/engines.calibration'
    """
    return bundle.with_name(f"{bundle.resolve().name}.calibration")


def parse_numbers(
    kind: type[Number],
) -> Callable[[click.Context, click.Parameter, str | None], list[Number] | None]:
    """Return a click callback that reads "1,3,5" as a list of `kind`."""

    def callback(context: click.Context, parameter: click.Parameter, value: str | None) -> list[Number] | None:
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
