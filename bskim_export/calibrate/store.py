"""Work that survives a kill: small files, each written whole or not at all, in a folder named after all that they
depend on."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt

from bskim_export.atomic import write_atomic, write_json

SHARD = 32
"""Questions of one file: the most work that a kill can cost."""

DIGEST = "digest"
"""The name in a file under which the SHA-256 of its arrays is."""

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
    """Return the value that `path` holds; if it holds none that is whole, compute it and write it there, as JSON."""
    found = _load_value(path)
    if found is None:
        found = json.loads(json.dumps(compute()))  # as it will be read
        write_json(path, {"value": found, "fingerprint": fingerprint(found)})
    return found


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
    np.savez(stream, allow_pickle=False, **arrays, **{DIGEST: np.array(_digest(arrays))})


def _load(path: Path) -> Arrays | None:
    """Return the arrays of a file, or None if it is absent, cut short or spoiled: then they are computed again."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception:  # whatever zipfile, zlib and NumPy say of other people's bytes
        return None
    digest = arrays.pop(DIGEST, None)
    return arrays if digest is not None and str(digest) == _digest(arrays) else None


def _digest(arrays: Arrays) -> str:
    """Return the SHA-256 of arrays, their names, types and shapes."""
    whole = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        whole.update(f"{name} {array.dtype.str} {array.shape}".encode())
        whole.update(np.ascontiguousarray(array).tobytes())
    return whole.hexdigest()


def _load_value(path: Path) -> Any:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    whole = isinstance(found, dict) and found.get("fingerprint") == fingerprint(found.get("value"))
    return found["value"] if whole else None
