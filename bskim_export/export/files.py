"""Directories that appear whole or not at all."""

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bskim_export.bundle import MANIFEST
from bskim_export.errors import BundleError


def check_target(target: Path) -> None:
    """Raise BundleError if writing a bundle to `target` would destroy something else."""
    if target.is_file():
        raise BundleError(f"'{target}' is a file; a bundle is a directory. Choose another --out.")
    if target.is_dir() and any(target.iterdir()) and not (target / MANIFEST).is_file():
        raise BundleError(f"'{target}' exists and is not a bundle; nothing was changed. Choose another --out.")


@contextmanager
def atomic_directory(target: Path) -> Iterator[Path]:
    """Yield an empty directory that takes the place of `target` if the block ends without an exception.

    Whatever happens, the old directory is there or the new one, never a mixture: they change places by renaming. Of
    two processes that write the same target, the later one wins.
    """
    target = Path(os.path.realpath(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(target)
    partial = _beside(target, "partial")
    _ACTIVE.add(partial)
    partial.mkdir()
    try:
        yield partial
        check_target(target)
        _swap(partial, target)
    finally:
        _ACTIVE.discard(partial)
        shutil.rmtree(partial, ignore_errors=True)


_ACTIVE: set[Path] = set()
"""What this process is writing now. Its process id alone does not tell: a restarted container reuses them."""


def _beside(target: Path, kind: str) -> Path:
    return target.parent / f".{target.name}.{kind}-{os.getpid()}-{secrets.token_hex(4)}"


def _swap(partial: Path, target: Path) -> None:
    while True:
        old = _beside(target, "old")
        try:
            target.rename(old)
        except FileNotFoundError:
            old = None
        try:
            partial.rename(target)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):  # another process was quicker: replace what it wrote
                continue
            if old is not None:
                old.rename(target)
            raise
        finally:
            if old is not None and target.exists():
                shutil.rmtree(old, ignore_errors=True)
        return


def _clear_leftovers(target: Path) -> None:
    """Remove what a killed export of the same target left, and bring back a bundle that it had only set aside."""
    name = re.compile(rf"\.{re.escape(target.name)}\.(partial|old)-(\d+)-[0-9a-f]+")
    for path in list(target.parent.iterdir()):
        match = name.fullmatch(path.name)
        if match is None or path in _ACTIVE or (int(match[2]) != os.getpid() and _is_running(int(match[2]))):
            continue
        if match[1] == "old" and not target.exists():
            path.rename(target)
        else:
            shutil.rmtree(path, ignore_errors=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
