"""Write files atomically: a file is there whole, or not at all. Standard library only.

Nothing else is ever replaced than a regular file. A link stays, and what it leads to is written. A device, a pipe and
this process's own output are written to as they are.
"""

import contextlib
import errno
import io
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from bskim_export.errors import BskimError, DiskFullError, OutputError
from bskim_export.locks import is_temporary, take_lock, temporary_name

DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The disk is full, the user's quota is used up, or the file is larger than a process or file system may write."""

LINKS = 40
"""Links that are followed, as Linux does."""


def write_atomic(path: Path, write: Callable[[BinaryIO], object], *, within: int | None = None) -> None:
    """Write a file so that, after a kill at any moment, `path` holds all of the old content or all of the new.

    Missing folders above `path` are made. A new file gets the mode of any new file, another keeps its mode.

    Args:
        write: called once with a stream that is open for writing bytes; its result is ignored
        within: the descriptor of a directory that `path` is relative to. It is this directory that is written into,
            whatever took its place meanwhile

    Raises:
        DiskFullError: there is no room. `path` is unchanged.
        OutputError: `path` is a directory, or cannot be written for another reason. It is unchanged.
    """
    with explained(path):
        if within is None:
            path.parent.mkdir(parents=True, exist_ok=True)
        with _located(path, within) as (folder, name, found, own):
            if found is None or (stat.S_ISREG(found.st_mode) and not own):
                _replace(folder, name, found, write)
            else:
                _write_through(folder, name, own, write)


def write_json(path: Path, value: object, *, within: int | None = None) -> None:
    """Write a value as indented JSON, atomically. See `write_atomic`.

    Raises:
        DiskFullError: there is no room. `path` is unchanged.
        OutputError: `path` cannot be written for another reason. It is unchanged.
        TypeError: the value has a part that JSON does not know. `path` is unchanged.
    """
    content = (json.dumps(value, indent=2) + "\n").encode()
    write_atomic(path, lambda stream: stream.write(content), within=within)


def check_output(path: Path) -> None:
    """Raise OutputError unless `path` can be written as it is now. Changes nothing: to be called before hours of work.

    Missing folders are not made, but it is tried whether they could be.
    """
    with explained(path):
        if _is_missing(path.parent):
            check_folder(path.parent)
            return
        with _located(path, None) as (folder, name, found, own):
            if found is None or (stat.S_ISREG(found.st_mode) and not own):
                _probe(folder)
            elif not own and not os.access(name, os.W_OK, dir_fd=folder):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def check_folder(path: Path) -> None:
    """Raise OutputError unless files can be written into the directory `path`, or it can be made. Changes nothing."""
    with explained(path):
        there = Path(os.path.abspath(path))
        while _is_missing(there):
            there = there.parent
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        folder = os.open(there, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _probe(folder)
        finally:
            os.close(folder)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an OSError into an OutputError that names the file, or into a DiskFullError."""
    try:
        raw = os.fsencode(path)
    except UnicodeEncodeError:
        raw = b"\0"
    if b"\0" in raw:
        raise OutputError(f"{str(path)[:200]!r} cannot be the name of a file. Name another place.")
    try:
        with full_disk_as_error(f"'{path}'", "Free some and try again."):
            yield
    except BskimError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"'{path}' cannot be written ({reason}). Name another place.") from error


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


@contextmanager
def _located(path: Path, within: int | None) -> Iterator[tuple[int, str, os.stat_result | None, bool]]:
    """Yield where `path` leads to, links followed: an open directory, a name in it, what is there, and whether that is
    one of the open files of a process, as /dev/stdout is."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    folder = os.open(path.parent, flags, dir_fd=within)
    name = path.name
    try:
        for _ in range(LINKS):
            own = _path_of(folder).startswith("/proc/")
            link = _read_link(folder, name)
            if link is None or own:
                found = None
                with contextlib.suppress(FileNotFoundError):
                    found = os.stat(name, dir_fd=folder)
                if not name or name == ".." or (found and stat.S_ISDIR(found.st_mode)):
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
                yield folder, name, found, own
                return
            head, name = os.path.split(link)
            if head:
                further = os.open(head, flags, dir_fd=folder)
                os.close(folder)
                folder = further
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    finally:
        os.close(folder)


def _path_of(folder: int) -> str:
    """Return the path of an open directory; nothing where the system does not tell."""
    try:
        return os.readlink(f"/proc/self/fd/{folder}")
    except OSError:
        return ""


def _read_link(folder: int, name: str) -> str | None:
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise
        return None


def _replace(folder: int, name: str, found: os.stat_result | None, write: Callable[[BinaryIO], object]) -> None:
    """Write beside the file, so that the renaming stays within one file system, and put it into its place."""
    _clear(folder, name)
    descriptor, temporary = _create(folder, name, 0o666 if found is None else found.st_mode & 0o777)
    try:
        with open(descriptor, "wb") as stream:
            _call(write, stream)
            stream.flush()
            if found is not None:
                _keep_owner_and_mode(descriptor, found)
            # The content must be on the disk before the name points to it.
            os.fsync(descriptor)
            os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
        raise


def _call(write: Callable[[BinaryIO], object], stream: BinaryIO) -> None:
    try:
        write(stream)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):  # torch.save hides it behind one of its own
            raise error.__context__ from None
        raise


def _create(folder: int, name: str, mode: int) -> tuple[int, str]:
    """Return a new open file that is locked, which tells others that it is in use, and its name."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        temporary = temporary_name(name, "tmp")
        descriptor = os.open(temporary, flags, mode, dir_fd=folder)
        try:
            # Whoever clears leftovers may have come between: then it is theirs to remove.
            if take_lock(descriptor) is not False and os.fstat(descriptor).st_nlink:
                return descriptor, temporary
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _clear(folder: int, name: str) -> None:
    """Remove what killed processes left of this file. What may be in use stays."""
    with contextlib.suppress(OSError):
        for other in os.listdir(folder):
            if is_temporary(other, name, "tmp"):
                _clear_one(folder, other)


def _clear_one(folder: int, name: str) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        try:
            if take_lock(descriptor) and stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.unlink(name, dir_fd=folder)
        finally:
            os.close(descriptor)


def _keep_owner_and_mode(descriptor: int, found: os.stat_result) -> None:
    """Give a file the owner and mode of the one that it replaces."""
    mode = found.st_mode & 0o777
    own = os.fstat(descriptor)
    if (own.st_uid, own.st_gid) != (found.st_uid, found.st_gid):
        try:
            os.fchown(descriptor, found.st_uid, found.st_gid)
        except OSError:
            # Our group was none of the old file's, so it may do what all others might.
            mode = mode & ~0o070 | (mode & 0o007) << 3
    os.fchmod(descriptor, mode)


def _write_through(folder: int, name: str, own: bool, write: Callable[[BinaryIO], object]) -> None:
    """Write to what is no file. All of the content is made first: nothing is written if that fails."""
    content = io.BytesIO()
    _call(write, content)
    if own and name.isdigit() and _path_of(folder) == f"/proc/{os.getpid()}/fd":
        descriptor = os.dup(int(name))  # opened anew, a redirected output would be written from its beginning
    else:
        # A pipe that nobody reads is refused instead of waited for.
        flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            descriptor = os.open(name, flags, dir_fd=folder)
        except OSError as error:
            if error.errno == errno.ENXIO:
                raise OSError(errno.ENXIO, "nobody reads from it") from None
            raise
        os.set_blocking(descriptor, True)
    with open(descriptor, "wb", buffering=0) as stream:
        rest = content.getbuffer()
        while rest:
            rest = rest[stream.write(rest) :]


def _probe(folder: int) -> None:
    """Raise OSError unless a file can be made in this directory."""
    descriptor, name = _create(folder, "bskim", 0o600)
    os.close(descriptor)
    os.unlink(name, dir_fd=folder)


def _is_missing(path: Path) -> bool:
    """Return whether there is nothing at `path`. Raises OSError if it cannot be: a name too long, a loop of links."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return True
    return False
