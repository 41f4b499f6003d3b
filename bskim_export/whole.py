"""Files that are written whole or not at all. Standard library only."""

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from bskim_export.errors import DiskFullError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""No room on the disk, in the user's quota, or in one file: a process or a file system may limit its size."""


def write_whole(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file so that after a kill, at any moment, `path` holds the old content or all of the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with no_room(f"'{path}'", "Free some and try again."), open(temporary, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def no_room(what: str, advice: str) -> Iterator[None]:
    """Turn the error of a full disk into DiskFullError: what it was that there is no room for, and what to do.

    Example:
        >>> with no_room("it", "Free it."):
        ...     raise OSError(errno.ENOSPC, "No space left on device")
        Traceback (most recent call last):
        bskim_export.errors.DiskFullError: No space left for it (No space left on device). Nothing was changed. Free it.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise DiskFullError(f"No space left for {what} ({error.strerror}). Nothing was changed. {advice}") from error


def write_json(path: Path, value: Any) -> None:
    """Write JSON, whole or not at all."""
    write_whole(path, lambda stream: stream.write((json.dumps(value, indent=2) + "\n").encode()))
