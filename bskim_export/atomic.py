"""Write files atomically: a file is there whole, or not at all. Standard library only."""

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from bskim_export.errors import DiskFullError

DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The disk is full, the user's quota is used up, or the file is larger than a process or file system may write."""


def write_atomic(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file so that, after a kill at any moment, `path` holds all of the old content or all of the new.

    Missing folders above `path` are made.

    Args:
        write: called once with a stream that is open for writing bytes; its result is ignored

    Raises:
        DiskFullError: there is no room. `path` is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The new content is written beside the target, so that the renaming stays within one file system.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with full_disk_as_error(f"'{path}'", "Free some and try again."), open(temporary, "wb") as stream:
            write(stream)
            stream.flush()
            # The content must be on the disk before the name points to it.
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Write a value as indented JSON, atomically.

    Raises:
        DiskFullError: there is no room. `path` is unchanged.
        TypeError: the value has a part that JSON does not know. `path` is unchanged.
    """
    write_atomic(path, lambda stream: stream.write((json.dumps(value, indent=2) + "\n").encode()))


@contextmanager
def full_disk_as_error(what: str, advice: str) -> Iterator[None]:
    """Turn an OSError of a full disk into a DiskFullError. Other errors pass unchanged.

    Where several are nested, the outermost one speaks: it knows what the user asked for.

    Args:
        what: names the file or folder that there is no room for
        advice: a sentence that says what to do about it

    Example:
        >>> with full_disk_as_error("it", "Free it."):
        ...     raise OSError(errno.ENOSPC, "No space left on device")
        Traceback (most recent call last):
        bskim_export.errors.DiskFullError: No space left for it (No space left on device). Nothing was changed. Free it.
    """
    try:
        yield
    except OSError as error:
        cause = error.__cause__ if isinstance(error, DiskFullError) else error
        if not isinstance(cause, OSError) or cause.errno not in DISK_FULL_ERRNOS:
            raise
        raise DiskFullError(f"No space left for {what} ({cause.strerror}). Nothing was changed. {advice}") from cause
