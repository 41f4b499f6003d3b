"""How much of a data file is read. A small compressed file can hold more than any memory."""

import os
from dataclasses import dataclass

from bskim_export.errors import InputError

VARIABLE = "BSKIM_LARGEST_FILE"
"""The environment variable that sets the largest file, such as 4G."""
LARGEST_FILE = 2**30
"""Bytes of a JSON file, unpacked. It is parsed as a whole, which takes several times as much memory."""
LARGEST_LINES = 2**34
"""Bytes of a file of JSON lines, unpacked. They are parsed one by one."""
LARGEST_LINE = 2**28
"""Bytes of one line."""
MOST_VALUES = 20_000_000
"""Values in one JSON document. Each takes up to 64 bytes of memory, however few it takes in the file."""
MOST_BLANK_LINES = 100_000
"""Blank lines, one behind the other."""

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class Limits:
    """The most that is read of one file, in bytes after unpacking, and in values of one JSON document."""

    file: int = LARGEST_FILE
    lines: int = LARGEST_LINES
    line: int = LARGEST_LINE
    values: int = MOST_VALUES

    @classmethod
    def of(cls, largest_file: int | None = None) -> "Limits":
        """Return the limits for a largest file. If it is None, the environment variable's, or else the defaults.

        A size that is set holds for every file, JSON lines and single lines included.

        Raises:
            InputError: the size is none.

        Example:
            >>> Limits.of(2**31).line == 2**31
            True
        """
        given = os.environ.get(VARIABLE, "").strip()
        if largest_file is None and given:
            number, unit = (given[:-1], given[-1].upper()) if not given[-1].isdigit() else (given, "")
            if not (number.isascii() and number.isdigit() and unit in _UNITS and len(number) < 19):
                raise InputError(f"{VARIABLE} is a size in bytes, like 500M or 4G; it is '{given}'.")
            largest_file = int(number) * _UNITS[unit]
        if largest_file is None:
            return cls()
        if isinstance(largest_file, bool) or not isinstance(largest_file, int) or largest_file < 1:
            raise InputError(f"largest_file is a number of bytes, got {largest_file!r}.")
        values = max(MOST_VALUES, largest_file * MOST_VALUES // LARGEST_FILE)
        return cls(largest_file, largest_file, largest_file, values)


def in_words(size: int) -> str:
    """Return a number of bytes in a unit that people read.

    Example:
        >>> in_words(2**30), in_words(1500)
        ('1.0 GiB', '1,500 bytes')
    """
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size:,} bytes"
