"""Work that survives a kill: small files, each written whole or not at all, in a folder named after all that they
depend on."""

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt

from bskim_export.atomic import write_atomic, write_json

SHARD = 32
"""Questions of one file: the most work that a kill can cost."""

Item = TypeVar("Item")
Arrays = dict[str, npt.NDArray[Any]]
"""The arrays of one file, by name."""


def fingerprint(value: Any) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of `value` as JSON.

    Example:
        >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
        True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def remembered(path: Path, compute: Callable[[], Any]) -> Any:
    """Return the JSON in `path`; if there is none, compute it and write it there."""
    if not path.is_file():
        write_json(path, compute())
    return json.loads(path.read_text(encoding="utf-8"))


def shards(
    folder: Path, items: Sequence[Item], compute: Callable[[Sequence[Item]], Mapping[str, npt.NDArray[Any]]]
) -> Iterator[tuple[int, Arrays]]:
    """Yield (number of items, arrays) for each run of SHARD items, computing only what `folder` does not hold yet.

    The items of a shard depend on nothing but their place, so an interrupted run and a whole one give the same arrays.
    """
    for start in range(0, len(items), SHARD):
        part = items[start : start + SHARD]
        path = folder / f"{start // SHARD:05d}.npz"
        arrays = _load(path)
        if arrays is None:
            arrays = dict(compute(part))
            write_atomic(path, partial(_save, arrays))
        yield len(part), arrays


def _save(arrays: Arrays, stream: BinaryIO) -> None:
    np.savez(stream, allow_pickle=False, **arrays)


def _load(path: Path) -> Arrays | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):  # absent, or cut short by a full disk
        return None
