"""Directories that appear whole or not at all."""

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bskim_export.atomic import DISK_FULL_ERRNOS
from bskim_export.bundle.manifest_file import MANIFEST
from bskim_export.errors import BundleError


def check_target(target: Path) -> None:
    """Raise BundleError if writing a bundle to `target` would destroy something else."""
    if target.is_file():
        raise BundleError(f"'{target}' is a file; a bundle is a directory. Choose another --out.")
    try:  # one look: between two, another export may put its bundle there
        found = os.listdir(target)
    except FileNotFoundError:
        return
    if found and MANIFEST not in found:
        raise BundleError(f"'{target}' exists and is not a bundle; nothing was changed. Choose another --out.")


@contextmanager
def atomic_directory(target: Path) -> Iterator[Path]:
    """Yield an empty directory that takes the place of `target` if the block ends without an exception.

    Whatever happens, the old directory is there or the new one, never a mixture: they change places by renaming. Of
    two processes that write the same target, the later one wins.

    Raises:
        BundleError: `target` is something else than a bundle, or its place cannot be written to.
    """
    target = Path(os.path.realpath(target))
    partial = _beside(target, "partial")
    _ACTIVE.add(partial)
    try:
        _make(partial, target)
        yield partial
        check_target(target)
        _swap(partial, target)
    finally:
        _ACTIVE.discard(partial)
        shutil.rmtree(partial, ignore_errors=True)


_TAKEN = (errno.ENOTEMPTY, errno.EEXIST)
_ACTIVE: set[Path] = set()
"""What this process is writing now. Its process id alone does not tell: a restarted container reuses them."""


def _beside(target: Path, kind: str) -> Path:
    return target.parent / f".{target.name}.{kind}-{os.getpid()}-{secrets.token_hex(4)}"


def _make(partial: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(target)
        partial.mkdir()
    except OSError as error:
        if error.errno in DISK_FULL_ERRNOS:
            raise
        raise BundleError(
            f"'{target.parent}' cannot be written to ({error.strerror}). Choose another --out."
        ) from error


def _swap(partial: Path, target: Path) -> None:
    aside: list[Path] = []
    try:
        while True:
            aside.append(_beside(target, "old"))  # noted first: an interruption may come right after the renaming
            with suppress(FileNotFoundError):
                target.rename(aside[-1])
            try:
                partial.rename(target)
                break
            except OSError as error:
                if error.errno not in _TAKEN:  # else another process was quicker: replace what it wrote
                    raise
    except BaseException:
        for old in reversed(aside):
            _bring_back(old, target)
        raise
    for old in aside:
        shutil.rmtree(old, ignore_errors=True)


def _bring_back(old: Path, target: Path) -> None:
    """Put what was set aside into its place, unless that is taken; then it is of no use any more."""
    try:
        old.rename(target)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in _TAKEN:
            raise
        shutil.rmtree(old, ignore_errors=True)


def _clear_leftovers(target: Path) -> None:
    """Remove what a killed export of the same target left, and bring back a bundle that it had only set aside."""
    name = re.compile(rf"\.{re.escape(target.name)}\.(partial|old)-(\d+)-[0-9a-f]+")
    for path in list(target.parent.iterdir()):
        match = name.fullmatch(path.name)
        if match is None or path in _ACTIVE or (int(match[2]) != os.getpid() and _is_running(int(match[2]))):
            continue
        if match[1] == "old":
            _bring_back(path, target)
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
