"""Opens the files of a stranger's directory: regular ones only, of a size that they can have, and never to be run."""

import json
import stat
from pathlib import Path
from typing import Any

from bskim_export.errors import CheckpointError

LARGEST_JSON = 256 * 2**20
"""Bytes. The largest tokenizer.json of a published encoder has 17 MB."""

LFS = b"version https://git-lfs"
_AGAIN = "Download or save it again."


def require_file(path: Path, limit: int | None = None) -> None:
    """Do nothing if a path is a regular file, or a link to one, that holds what its name says.

    A device or a FIFO would be read for ever. A clone without Git LFS has a few lines of text in a file's place.

    Args:
        limit: how many bytes it may have at most

    Raises:
        CheckpointError: it is missing, something else than a file, unreadable, larger, or a Git LFS pointer.
    """
    try:
        found = path.stat()
        head = b""
        if stat.S_ISREG(found.st_mode):  # anything else may never end
            with open(path, "rb") as stream:
                head = stream.read(len(LFS))
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        reason = error.strerror if isinstance(error, OSError) else error
        raise CheckpointError(f"'{path}' cannot be read ({reason}). {_AGAIN}") from None
    if not stat.S_ISREG(found.st_mode):
        raise CheckpointError(f"'{path}' is no file but {_kind(found.st_mode)}. {_AGAIN}")
    if head == LFS:
        raise CheckpointError(
            f"'{path}' is a Git LFS pointer, not the file itself. Run `git lfs pull` in its folder, or download the "
            "file."
        )
    if limit is not None and found.st_size > limit:
        raise CheckpointError(
            f"'{path}' has {found.st_size:,} bytes, at most {limit:,} are read. Is it the right file?"
        )


def is_there(path: Path) -> bool:
    """Return whether anything has this name, be it a link to nowhere.

    Unlike `Path.is_file` it lets a spoiled file be named, rather than be looked for elsewhere.
    """
    return path.is_symlink() or path.exists()


def read_text(path: Path) -> str:
    """Return a file's text.

    Raises:
        CheckpointError: see `require_file`; or it is not UTF-8.
    """
    require_file(path, LARGEST_JSON)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"'{path}' is damaged: {error}. {_AGAIN}") from None


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        CheckpointError: see `read_text`; or it is no JSON, or no object.
    """
    text = read_text(path)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise CheckpointError(f"'{path}' cannot be read: it is not valid JSON ({reason}). {_AGAIN}") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"'{path}' cannot be read: it holds a {type(value).__name__}, not an object. {_AGAIN}")
    return value


def _kind(mode: int) -> str:
    names = (("a directory", stat.S_ISDIR), ("a FIFO", stat.S_ISFIFO), ("a socket", stat.S_ISSOCK))
    return next((name for name, is_kind in names if is_kind(mode)), "a device")


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type if it has none; at most 300 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
