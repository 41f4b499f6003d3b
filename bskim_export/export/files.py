"""Directories that appear whole or not at all."""

import os
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

    Whatever happens, the old directory is there or the new one, never a mixture: they change places by renaming.
    """
    target = Path(os.path.abspath(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(target)
    partial = target.parent / f".{target.name}.partial-{os.getpid()}"
    old = target.parent / f".{target.name}.old-{os.getpid()}"
    partial.mkdir()
    try:
        yield partial
        check_target(target)
        if target.exists():
            target.rename(old)
        try:
            partial.rename(target)
        except OSError:
            if old.exists() and not target.exists():
                old.rename(target)
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _remove_abandoned(target: Path) -> None:
    """Remove what a killed export of the same target left, and bring back a bundle that it had only set aside."""
    for path in target.parent.glob(f".{target.name}.*-*"):
        kind, _, pid = path.name.rpartition("-")
        if pid.isdigit() and not _is_running(int(pid)):
            if kind.endswith(".old") and not target.exists():
                path.rename(target)
            elif kind.endswith((".old", ".partial")):
                shutil.rmtree(path, ignore_errors=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
