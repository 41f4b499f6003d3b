"""Shared by the commands: how a command is made, its options and arguments that several have, and how results are told.

Imports no numpy, so that `bskim --help` is there at once.
"""

import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

import bskim_export
from bskim_export.atomic import write_json
from bskim_export.commands.guard import Guarded
from bskim_export.commands.terminal import errors, loudness, note, set_verbose, standard_output
from bskim_export.commands.types import STDOUT, Named, OutputFile, OutputFolder, Real, Whole
from bskim_export.errors import BskimError, InputError, missing_extra

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

    from bskim_export.backends.base import Backend

Number = TypeVar("Number", int, float)
Decorated = TypeVar("Decorated", bound=Callable[..., object])

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
"""Of the group and of every command."""

with_version = click.version_option(bskim_export.__version__)
"""Adds --version to a command that is made."""

bundle_argument = click.argument("bundle", type=Named(), default="engines")
dataset_option = click.option(
    "--dataset",
    default="squad",
    show_default=True,
    metavar="SPEC",
    help="The questions: squad (the packaged dev set), a file, ...; see docs/datasets.md.",
)
seed_option = click.option("--seed", type=Whole(), default=42, show_default=True, help="Seed of the draw.")
limit_option = click.option(
    "--limit", type=Whole(min=1), metavar="N", help="A random sample of N questions.  [default: all]"
)
max_seq_len_option = click.option(
    "--max-seq-len", type=Whole(min=1), help="Positions of a window.  [default: the bundle's]"
)
threshold_option = click.option(
    "--threshold", type=Real(0, 1), help="For every layer, instead of the bundle's thresholds."
)
json_option = click.option(
    "--json", "json_path", type=OutputFile(stdout=True), is_flag=False, flag_value="-", metavar="FILE",
    help="Write the figures as JSON; to standard output if FILE is - or left out, and the rest to standard error."
)  # fmt: skip
work_dir_option = click.option(
    "--work-dir", type=OutputFolder(), metavar="DIR", help="Keeps finished work, so that an "
    "interrupted command goes on where it was.  [default: BUNDLE.calibration]"
)  # fmt: skip
window_scale_option = click.option(
    "--window-scale",
    type=click.Choice(["null", "logits", "window"]),
    help="How answers of different windows are compared: from each window's own null, by their logits, or by each "
    "window's own softmax, as the transformers pipeline did.  [default: the bundle's]",
)
max_blocks_option = click.option(
    "--max-blocks", type=Whole(min=1), metavar="N", help="Of each question, at most N passage blocks go beyond the "
    "first predictor: the best-scored of its document.  [default: no bound; of a split model, the bundle's]"
)  # fmt: skip
align_option = click.option(
    "--align-to-words/--no-align-to-words", default=True, show_default=True,
    help="Widen answers to whole words. Where a script has no blanks between words, a whole sentence may count as one."
)  # fmt: skip
impossible_option = click.option(
    "--handle-impossible-answer/--no-handle-impossible-answer", "impossible", default=None,
    help="Whether the empty answer counts as one.  [default: if the data set has questions without an answer]"
)  # fmt: skip


def command(function: Callable[..., None]) -> click.Command:
    """Make a command of a function that has its arguments and options; its docstring is the help.

    The command has -h, --version, --quiet and --verbose, and ends with one line and an exit code, whatever comes; see
    `guard`.
    """
    made = click.command(cls=Guarded, context_settings=SETTINGS)(function)
    flags: dict[str, Any] = {"is_flag": True, "expose_value": False, "is_eager": True}
    made.params += [
        click.Option(["--quiet", "-q"], **flags, callback=_be_quiet,
                     help="Show results and errors only: no notes, no progress."),
        click.Option(["--verbose", "-v"], **flags, callback=_be_verbose,
                     help="Log what is done, and show where an error came from."),
    ]  # fmt: skip
    return with_version(made)


def _be_quiet(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    loudness.quiet = wanted


def _be_verbose(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    loudness.verbose = wanted
    if wanted:
        set_verbose()


def progress_bar(*columns: "ProgressColumn | str") -> "Progress":
    """Return a bar on standard error that shows what is done, how far it is, and these columns."""
    from rich.progress import BarColumn, Progress, TextColumn

    what = TextColumn("{task.description}", markup=False)
    return Progress(what, BarColumn(), *columns, console=errors, disable=loudness.quiet)


def deliver(*steps: Callable[[], object]) -> None:
    """Do every step, even if one fails: what took an hour must not be lost to a full disk or a closed terminal.

    Raises the first error at the end. Results are printed first and written then.
    """
    failed: list[Exception] = []
    for step in steps:
        try:
            step()
        except Exception as error:
            failed.append(error)
    if failed:
        raise failed[0]


def run_fresh(script: str, *arguments: str | Path) -> str:
    """Run Python code in a process of its own and return what it prints. Raises BskimError if it fails."""
    done = subprocess.run([sys.executable, "-c", script, *arguments], check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise BskimError(f"The fresh process ended with exit code {done.returncode}; it says why above.")
    return done.stdout


def write_report(path: Path | None, report: Any) -> None:
    """Write a report as JSON to where --json says, if it says anything."""
    if path == STDOUT:
        output = standard_output()
        output.write(json.dumps(report, indent=2) + "\n")
        output.flush()
    elif path:
        write_json(path, report)


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


def backend_options(command: Decorated) -> Decorated:
    """Add --backend, --precision and --threads: the arguments of `open_for`."""
    for option in (
        click.option("--threads", type=Whole(min=1), help="Threads for one operator.  [default: the cores "
                     "that this process may use]"),
        click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True,
                     help="The precision that the backend computes in."),
        click.option("--backend", "backend_name", metavar="NAME", help="The backend that runs the graphs; "
                     "`bskim-export --list-backends` lists them.  [default: the one that the bundle holds engines "
                     "for, if that runs here; else what `bskim-export --for cpu` found; else onnxruntime]"),
    ):  # fmt: skip
        command = option(command)
    return command


def open_for(bundle: Path, name: str | None, threads: int | None, precision: str) -> "Backend":
    """Return the backend that is asked for; if none is, the one for this bundle, and say why if there was a choice.

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
    if manifest.engines or manifest.cpu:
        note(f"Runs on {backend.name}: {reason}.")
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
            numbers = [kind(part) for part in value.split(",")]
            if not all(map(math.isfinite, numbers)):
                raise ValueError
            return numbers
        except (ValueError, OverflowError):
            raise click.BadParameter(f"expected numbers separated by commas, got '{value}'") from None

    return callback


def parse_capability(text: str) -> tuple[int, int]:
    """Read the compute capability of a GPU, like "8.9". Raises InputError if it is none."""
    major, dot, minor = text.strip().partition(".")
    if not (dot and major.isdigit() and minor.isdigit()):
        raise InputError(f"A compute capability is a number like 8.9, got '{text}'.")
    return int(major), int(minor)
