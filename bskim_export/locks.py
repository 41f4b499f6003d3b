"""Temporary names that nobody can guess, and locks that say whether a process still works on what has one.

Unlike process ids, locks mean the same in all containers that share a disk. Standard library only.
"""

import fcntl
import os
import re
import secrets
import shutil
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

LONGEST_STEM = 150
"""Bytes of a name that a temporary name repeats; most file systems take 255."""


def take_lock(descriptor: int, wait: float = 0) -> bool | None:
    """Lock an open file or directory until it is closed, or its process ends in whatever way.

    Args:
        wait: seconds to wait for whoever has it

    Returns:
        whether it is ours now; None where the file system has no locks
    """
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        except OSError:
            return None


def remove_unless_locked(folder: Path) -> None:
    """Remove a temporary directory that a killed process left. One that may be in use stays, and so does a link."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if take_lock(descriptor):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)


def stem(name: str) -> str:
    """Return what temporary names beside `name` begin with: a dot and the name, or the hash of a long one."""
    raw = os.fsencode(name)
    return f".{name}" if len(raw) <= LONGEST_STEM else f".{sha256(raw).hexdigest()[:32]}"


def temporary_name(name: str, kind: str) -> str:
    """Return a name beside `name` that nobody can guess.

    Example:
        >>> len(temporary_name("bench.json", "tmp"))
        32
    """
    return f"{stem(name)}.{kind}-{secrets.token_hex(8)}"


def is_temporary(candidate: str, name: str, *kinds: str) -> bool:
    """Return whether a name is one that `temporary_name` made for `name`.

    Example:
        >>> is_temporary(temporary_name("a", "tmp"), "a", "tmp"), is_temporary(".a.tmp-1", "a", "tmp")
        (True, False)
    """
    return re.fullmatch(rf"{re.escape(stem(name))}\.({'|'.join(kinds)})-[0-9a-f]{{16}}", candidate) is not None
