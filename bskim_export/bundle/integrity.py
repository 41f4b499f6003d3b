"""Whether the files of a bundle are those that export wrote, now and while it is open. Standard library only."""

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from bskim_export.errors import BundleError

RECOPY = "Copy the whole directory again, or export the model again."
Stamps = dict[str, tuple[int, ...]]
"""Of each file of a bundle, what changes when another takes its place: device, inode, size, time of the last write."""


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def find_fault(folder: Path, files: Mapping[str, str]) -> str | None:
    """Return what is wrong with the first file that is not as it was written, or None.

    Args:
        files: the SHA-256 of each, by its name in the folder
    """
    for name, digest in files.items():
        path = folder / name
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):  # reading a device or a pipe might never end
                return f"'{path}' is not a regular file."
            if hash_file(path) != digest:
                return f"'{path}' is damaged: its SHA-256 differs from the manifest's."
        except FileNotFoundError:
            return f"The bundle '{folder}' is incomplete: '{name}' is missing."
        except OSError as error:
            return f"'{path}' cannot be read ({error.strerror})."
    return None


def stamp_files(folder: Path, files: Mapping[str, str]) -> Stamps:
    """Return the stamps of the files that are there."""
    stamps: Stamps = {}
    for name in files:
        try:
            found = os.stat(folder / name)
        except OSError:  # `find_fault` says which and why
            continue
        stamps[name] = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
    return stamps


def read_small(path: Path, limit: int) -> bytes:
    """Return the content of a file of at most `limit` bytes.

    Raises:
        BundleError: it is larger, is no regular file, or cannot be read.
        FileNotFoundError: there is none.
    """
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise BundleError(f"'{path}' is not a regular file. {RECOPY}")
        if found.st_size > limit:
            raise BundleError(f"'{path}' is larger than {limit / 1e6:.0f} MB, which none is. {RECOPY}")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(path) from None
    except OSError as error:
        raise BundleError(f"'{path}' cannot be read ({error.strerror}). {RECOPY}") from error
