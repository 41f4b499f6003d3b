"""The one place that catches what comes: an expected error is one line and exit code 1, and so is a fault of ours."""

import io
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import click

from bskim_export.commands.terminal import (
    PrintError,
    errors,
    loudness,
    prepare_streams,
    say_error,
    standard_output,
    visible,
)
from bskim_export.errors import BskimError, InternalError

INTERRUPTED = 130
BROKEN_PIPE = 141
"""Exit codes, as a shell counts them: 128 and the number of the signal."""

REPORT_IT = "This is a fault of bskim-export. Please report it, with what the same command says with --verbose."


class Guarded(click.Command):
    """A command that ends in an exit code, whatever comes."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Parse the arguments and run. Exits, unless `standalone_mode` is off and all went well."""
        prepare_streams()
        loudness.__init__()  # type: ignore[misc]  # as at the start of a process
        with guarded():
            code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
            standard_output().flush()
        if standalone_mode:
            sys.exit(code if isinstance(code, int) else 0)
        return code

    def invoke(self, context: click.Context) -> Any:
        """Run, with SIGTERM as Ctrl-C, so that clean-up runs."""
        with suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            _stop_interrupted()


class GuardedGroup(Guarded, click.Group):
    """A group of commands that ends in an exit code, whatever comes."""


@contextmanager
def guarded() -> Iterator[None]:
    """Turn every exception into a line on standard error and an exit code; --verbose adds the traceback."""
    try:
        yield
    except click.ClickException as error:
        _show_usage(error)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _stop_interrupted()
    except InternalError as error:
        _fail_unexpectedly(error.__cause__ or error)
    except BskimError as error:
        _fail(str(error))
    except MemoryError as error:
        _fail_unexpectedly(error)
    except PrintError as error:
        _stop_without_output(error.__cause__)
    except BrokenPipeError as error:  # of click's help
        _stop_without_output(error)
    except OSError as error:
        reason = error.strerror or str(error)
        _fail(f"'{error.filename}': {reason}." if error.filename else f"{reason}.")
    except Exception as error:
        _fail_unexpectedly(error)


def _show_usage(error: click.ClickException) -> None:
    """Print what click says about a call, in which the arguments of the call are quoted."""
    with suppress(OSError):
        said = io.StringIO()
        error.show(said)
        sys.stderr.write(visible(said.getvalue()))
        sys.stderr.flush()


def _fail_unexpectedly(error: BaseException) -> None:
    if isinstance(error, MemoryError):
        _fail("Out of memory. Try fewer or shorter texts at once, or a smaller model.")
    what = next(iter(str(error).splitlines()), "")[:300]
    _fail(f"Unexpected {type(error).__name__}: {what}. {REPORT_IT}")


def _fail(message: str) -> None:
    if loudness.verbose:
        errors.print(traceback.format_exc(), soft_wrap=True)
    say_error(message)
    sys.exit(1)


def _stop_interrupted() -> None:
    errors.print("Interrupted; nothing is left half-written.")
    sys.exit(INTERRUPTED)


def _stop_without_output(error: BaseException | None) -> None:
    # Python would try once more at its end.
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):  # who reads has seen enough
        sys.exit(BROKEN_PIPE)
    _fail(f"Standard output cannot be written ({getattr(error, 'strerror', None) or error}).")
