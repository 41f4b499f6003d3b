"""The types of options: what cannot be meant is refused before anything begins."""

import math
from pathlib import Path
from typing import Any

import click

from bskim_export.atomic import check_folder, check_output
from bskim_export.commands.terminal import loudness

STDOUT = Path("-")
"""As the name of a file to write: standard output."""


class Real(click.FloatRange):
    """A number in a range; neither nan nor infinity is one."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> float:
        """Return the number."""
        found = super().convert(value, parameter, context)
        if not math.isfinite(found):
            self.fail(f"{value} is not a number that can be meant here.", parameter, context)
        return float(found)


class Whole(click.IntRange):
    """A whole number in a range, 0 and more unless said otherwise; of 31 bits, for more no counter here takes."""

    def __init__(self, min: int = 0, max: int | None = None):
        super().__init__(min, max)

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> int:
        """Return the number."""
        found = int(super().convert(value, parameter, context))
        if found >= 1 << 31:
            self.fail(f"{str(value)[:40]} is too large.", parameter, context)
        return found


class Named(click.Path):
    """The path of something to read. An empty text is none: it would mean the current directory."""

    def __init__(self, **more: Any):
        super().__init__(path_type=Path, **more)

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Path:
        """Return the path."""
        if not str(value) or "\0" in str(value):
            self.fail("is empty. Name a file or a directory." if not str(value) else "holds a NUL.", parameter, context)
        super().convert(value, parameter, context)
        return Path(value)


class OutputFile(Named):
    """A file to write: that it can be written is seen before hours of work, not after.

    Args:
        stdout: - stands for standard output
    """

    def __init__(self, stdout: bool = False):
        super().__init__()
        self._stdout = stdout

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Path:
        """Return the path. Raises OutputError if it cannot be written."""
        path = super().convert(value, parameter, context)
        if self._stdout and path == STDOUT:
            loudness.json_to_stdout = True
        elif not (context and context.resilient_parsing):
            check_output(path)
        return path


class OutputFolder(Named):
    """A directory to write files into, which need not be there."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Path:
        """Return the path. Raises OutputError if nothing can be written there."""
        path = super().convert(value, parameter, context)
        if not (context and context.resilient_parsing):
            check_folder(path)
        return path


class BundleToWrite(Named):
    """A directory that a bundle may be put into: what is there is one, or nothing."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Path:
        """Return the path. Raises BundleError if something else is there, or it cannot be written to."""
        path = super().convert(value, parameter, context)
        if not (context and context.resilient_parsing):
            from bskim_export.bundle.directory import check_target

            check_target(path)
        return path
