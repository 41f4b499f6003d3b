"""Directories that appear whole or not at all."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bskim_export.atomic import DISK_FULL_ERRNOS, check_folder
from bskim_export.bundle.evidence import locked_folder
from bskim_export.bundle.manifest_file import MANIFEST
from bskim_export.bundle.ownership import find_foreign, has_only_remains, is_mount_point
from bskim_export.errors import BundleError, OutputError
from bskim_export.locks import is_temporary, remove_unless_locked, take_lock, temporary_name

PARTIAL = "partial"
OLD = "old"
LOOKS = 100
"""Times to look at a directory that others replace meanwhile."""

_TAKEN = (errno.ENOTEMPTY, errno.EEXIST)


def check_target(target: Path) -> None:
    """Raise BundleError if writing a bundle to `target` would destroy something else, or could not be done at all.

    Changes nothing. A bundle of any version may be replaced, if nothing else than a bundle is in its directory.
    """
    try:
        target = Path(os.path.realpath(target))
        for _ in range(LOOKS):
            before = _identity(target)
            reason = _refusal(target)
            if reason is None or (before is not None and _identity(target) == before):
                break  # else another export has just put its bundle there, and what was seen was half removed
    except (OSError, ValueError) as error:
        reason = f"cannot be written to ({getattr(error, 'strerror', None) or error})"
    if reason:
        raise BundleError(f"'{target}' {reason}. Choose another --out.")
    try:
        check_folder(target if is_mount_point(target) else target.parent)
        if _is_write_protected(target):
            raise OutputError(f"'{target}' cannot be written (Permission denied). Name another place.")
    except OutputError as error:
        raise BundleError(str(error).replace("Name another place.", "Choose another --out.")) from None


@contextmanager
def atomic_directory(target: Path, check: Callable[[Path], None] = check_target) -> Iterator[Path]:
    """Yield an empty directory that takes the place of `target` if the block ends without an exception.

    Whatever happens, the old directory is there or the new one, never a mixture: they change places by renaming. Of
    two processes that write the same target, the later one wins.

    A mount point, as a container's volume is one, cannot be renamed. What is in it changes places instead, the manifest
    last: for some milliseconds there is no bundle, and after a kill just then the next export puts the old one back.

    Args:
        check: raises if what is at `target` may not be replaced; asked before and after the block

    Raises:
        BundleError: `target` is something else than a bundle, or its place cannot be written to.
    """
    check(target)
    target = Path(os.path.realpath(target))
    inside = is_mount_point(target)
    home = target if inside else target.parent
    partial, lock = _make(home, target)
    try:
        yield partial
        check(target)
        _keep_modes(partial, target)
        if inside:
            _swap_contents(partial, target)
        else:
            _swap(partial, target)
    finally:
        os.close(lock)
        shutil.rmtree(partial, ignore_errors=True)


def _refusal(target: Path) -> str | None:
    """Return why a directory may not be replaced, as the end of a sentence; None if it may.

    Raises:
        OSError: it cannot be looked at.
    """
    try:
        found = os.listdir(target)
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        if os.path.lexists(target):
            return "is a file; a bundle is a directory"
        raise
    own = [name for name in found if _is_own(name, target)]
    if len(own) == len(found) or has_only_remains(target, own):
        return None
    foreign = find_foreign(target, own)
    return foreign and f"{foreign}; nothing was changed"


def _is_write_protected(target: Path) -> bool:
    """Return whether there is a directory that this user may not change.

    All is asked of one opened directory: by its name, another one might be asked, or none between two of them.
    """
    try:
        descriptor = os.open(target, getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:
        return True
    try:
        return not os.access(".", os.W_OK | os.X_OK, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_ctime_ns


def _is_own(name: str, target: Path) -> bool:
    return is_temporary(name, target.name, PARTIAL, OLD)


def _make(home: Path, target: Path) -> tuple[Path, int]:
    """Make the partial directory. Returns it, and the descriptor whose lock says that it is in use."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(home, target)
        while True:
            partial = home / temporary_name(target.name, PARTIAL)
            partial.mkdir()
            # Whoever clears leftovers may come between: then it is theirs to remove.
            with suppress(FileNotFoundError):
                descriptor = os.open(partial, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
                if take_lock(descriptor) is not False and os.path.exists(partial):
                    return partial, descriptor
                os.close(descriptor)
    except OSError as error:
        if error.errno in DISK_FULL_ERRNOS:
            raise
        raise BundleError(f"'{home}' cannot be written to ({error.strerror}). Choose another --out.") from error


def _keep_modes(partial: Path, target: Path) -> None:
    """Give the new directory and its files no wider modes than those that they replace."""
    for folder, _, names in os.walk(partial):
        for path in (Path(folder), *(Path(folder, name) for name in names)):
            with suppress(FileNotFoundError):
                old = os.stat(target / path.relative_to(partial)).st_mode & 0o777
                if path.stat().st_mode & 0o777 != old:
                    path.chmod(old)


def _swap(partial: Path, target: Path) -> None:
    aside: list[Path] = []
    try:
        while True:
            # Noted first: an interruption may come right after the renaming.
            aside.append(target.with_name(temporary_name(target.name, OLD)))
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


def _swap_contents(partial: Path, target: Path) -> None:
    """Put what is in `partial` into the place of what is in `target`, which is a mount point."""
    with locked_folder(target):
        old = target / temporary_name(target.name, OLD)
        old.mkdir()
        try:
            for name in _manifest_first(n for n in os.listdir(target) if not _is_own(n, target)):
                (target / name).rename(old / name)
            for name in reversed(_manifest_first(os.listdir(partial))):
                (partial / name).rename(target / name)
        except BaseException:
            _bring_contents_back(old, target)
            raise
        shutil.rmtree(old, ignore_errors=True)


def _manifest_first(names: Iterator[str] | list[str]) -> list[str]:
    """Return the names with the manifest first: without it, nobody takes the rest for a bundle."""
    return sorted(names, key=lambda name: name != MANIFEST)


def _bring_contents_back(old: Path, target: Path) -> None:
    """Put what was set aside back, in place of what is there of a new bundle."""
    for name in reversed(_manifest_first(os.listdir(old))):
        there = target / name
        if there.is_dir() and not there.is_symlink():
            shutil.rmtree(there)
        (old / name).rename(there)
    old.rmdir()


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


def _clear_leftovers(home: Path, target: Path) -> None:
    """Remove what a killed export of the same target left, and bring back a bundle that it had only set aside.

    What a running export has in work is locked, and stays; so does everything where there are no locks.
    """
    for path in list(home.iterdir()):
        if path.is_symlink() or not path.is_dir():
            continue
        if is_temporary(path.name, target.name, OLD):
            if home == target:
                _clear_inside(path, target)
            elif _is_bundle_or_empty(path):
                _bring_back(path, target)
        elif is_temporary(path.name, target.name, PARTIAL):
            remove_unless_locked(path)


def _is_bundle_or_empty(path: Path) -> bool:
    try:
        return not os.listdir(path) or find_foreign(path, []) is None
    except FileNotFoundError:
        return False


def _clear_inside(old: Path, target: Path) -> None:
    """Finish or undo what an export that was killed while it filled a mount point had begun."""
    with locked_folder(target):
        if not old.is_dir():
            return
        if (target / MANIFEST).exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            _bring_contents_back(old, target)
