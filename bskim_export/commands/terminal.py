"""Where the commands print, and how loud: results to standard output, everything else to standard error.

Texts come from strangers: passages, names of files and models, errors about both. So plain strings have no markup here,
and control characters are shown, not sent: `Terminal.render` is the one place that all output goes through.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
"""What a terminal might obey, as it is shown."""


def visible(text: str) -> str:
    r"""Return a text with its control characters as escapes; line breaks and tabs stay.

    Example:
        >>> visible("\x1b]0;owned\x07")
        '\\x1b]0;owned\\x07'
    """
    return text.translate(_CONTROL)


@dataclass
class Loudness:
    """What a call of a command asked for.

    quiet: no notes and no progress
    verbose: log lines, and the traceback of an error
    json_to_stdout: a report goes to standard output, so that everything else does not
    """

    quiet: bool = False
    verbose: bool = False
    json_to_stdout: bool = False


loudness = Loudness()


class PrintError(Exception):
    """Standard output does not take what is printed. Its cause is the OSError."""


class _Stream:
    """A standard stream, as it is now. What standard error does not take is let go; the work matters more.

    No OSError leaves it: rich would end the process on some, and it would look like that of a file.
    """

    def __init__(self, stream: IO[str], needed: bool):
        self._stream = stream
        self._needed = needed

    def write(self, text: str) -> int:
        """Write a text."""
        with self._told():
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Hand on what was written."""
        with self._told():
            self._stream.flush()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # ValueError: it is closed
            if self._needed:
                raise PrintError from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def standard_output() -> IO[str]:
    """Return the stream of results."""
    return cast(IO[str], _Stream(sys.stdout, needed=True))


class Terminal(Console):
    """A console that takes strings as they are and sends no control characters of theirs.

    Args:
        stderr: print to standard error
    """

    def __init__(self, stderr: bool = False):
        narrow = not stderr and sys.stdout is not None and not sys.stdout.isatty()
        super().__init__(stderr=stderr, width=100 if narrow else None, markup=False, emoji=False, highlight=False)

    @property
    def file(self) -> IO[str]:
        """Return the stream to print to, as it is now."""
        if self.stderr or loudness.json_to_stdout:
            return cast(IO[str], _Stream(sys.stderr, needed=False))
        return standard_output()

    @file.setter
    def file(self, new: IO[str]) -> None:
        raise AttributeError("a terminal prints to the streams of its process")

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Yield the segments of what is printed, their texts without control characters."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


def prepare_streams() -> None:
    """Make sure that there are three standard streams, and that they take every character."""
    # A closed one would be given to the next file that is opened, and what is printed would go into that.
    with suppress(OSError):
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(descriptor)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        with suppress(AttributeError, ValueError):
            getattr(sys, name).reconfigure(errors="backslashreplace")
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115


prepare_streams()
console = Terminal()
errors = Terminal(stderr=True)


def note(message: str) -> None:
    """Print a line that is no error but should be seen: data that a reader dropped, corrected or guessed."""
    if not loudness.quiet:
        errors.print(Text.assemble(("Note:", "yellow"), f" {message}"), soft_wrap=True)


def say_error(message: str) -> None:
    """Print an error as one line."""
    errors.print(Text.assemble(("Error:", "red"), f" {' '.join(message.splitlines())}"), soft_wrap=True)


def set_verbose() -> None:
    """Print the log lines of this package to standard error."""
    log = logging.getLogger("bskim_export")
    log.setLevel(logging.INFO)
    if not any(isinstance(handler, _LogLines) for handler in log.handlers):
        log.addHandler(_LogLines())


class _LogLines(logging.Handler):
    """Prints log lines, as long as a call is verbose."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one."""
        if loudness.verbose:
            errors.print(self.format(record), style="dim", soft_wrap=True)


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Show that something goes on that has no end in sight."""
    if loudness.quiet:
        yield
        return
    with errors.status(Text(what)):
        yield
