"""Files in safetensors: arrays by name, and some texts about them. Written whole or not at all, and read mapped."""

import json
import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bskim_export.atomic import write_atomic
from bskim_export.errors import InputError

AGAIN = "Remove it, and prepare its documents again."
LARGEST_HEADER = 1 << 24
METADATA = "__metadata__"
DTYPES: dict[str, type[np.generic]] = {
    "F16": np.float16,
    "F32": np.float32,
    "I8": np.int8,
    "I32": np.int32,
    "I64": np.int64,
    "U8": np.uint8,
}
"""Names of dtypes in a file, as far as they are used here."""


def write_tensors(path: Path, arrays: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Write arrays into one file, which appears whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    names = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
    header: dict[str, Any] = {METADATA: dict(metadata)}
    content = [np.ascontiguousarray(array) for array in arrays.values()]
    place = 0
    for name, array in zip(arrays, content, strict=True):
        end = place + array.nbytes
        header[name] = {"dtype": names[array.dtype], "shape": list(array.shape), "data_offsets": [place, end]}
        place = end
    raw = json.dumps(header).encode()
    raw += b" " * (-(len(raw) + 8) % 64)  # the first array begins at a multiple of 64 bytes

    def write(stream: Any) -> None:
        stream.write(struct.pack("<Q", len(raw)))
        stream.write(raw)
        for array in content:
            stream.write(array.data.cast("B") if array.size else b"")

    write_atomic(path, write)


@dataclass(frozen=True, eq=False)
class TensorFile:
    """A file in safetensors that is mapped into memory.

    path: where it was when it was opened
    metadata: the texts about its arrays
    """

    path: Path
    metadata: dict[str, Any]
    _header: dict[str, Any] = field(repr=False)
    _mapped: npt.NDArray[np.uint8] = field(repr=False)

    def has(self, name: str) -> bool:
        """Return whether there is an array of this name."""
        return name in self._header

    def array(self, name: str, kind: str) -> npt.NDArray[Any]:
        """Return one of its arrays, mapped.

        Args:
            kind: its dtype, a key of DTYPES

        Raises:
            InputError: there is none of that kind, or not all of it.
        """
        found = self._header.get(name)
        entry = found if isinstance(found, dict) else {}
        shape, place = (_counts(entry.get(key)) for key in ("shape", "data_offsets"))
        if shape is not None and place is not None and len(place) == 2 and entry.get("dtype") == kind:
            dtype = np.dtype(DTYPES[kind])
            begin, end = place
            if begin <= end <= len(self._mapped) and end - begin == math.prod(shape) * dtype.itemsize:
                try:
                    return self._mapped[begin:end].view(dtype).reshape(shape)
                except (ValueError, OverflowError):  # of no elements, with axes that are too long
                    pass
        raise InputError(f"'{self.path}' is damaged, or was cut off: its {name} are not there as a whole. {AGAIN}")


def open_tensors(path: Path) -> TensorFile:
    """Open a file in safetensors.

    Raises:
        InputError: it cannot be read, or is none.
    """
    try:
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            raw = stream.read(8)
            length = struct.unpack("<Q", raw)[0] if len(raw) == 8 else 0
            if not 2 <= length <= min(LARGEST_HEADER, size - 8):
                raise InputError(f"'{path}' is no file in safetensors, or it was cut off. {AGAIN}")
            header = read_object(stream.read(length), path)
            begin = 8 + length
            # This stream, not the path: another file may have taken its place by now.
            mapped = np.memmap(stream, np.uint8, "r", offset=begin) if size > begin else np.zeros(0, np.uint8)
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}.") from error
    metadata = header.get(METADATA)
    return TensorFile(path, metadata if isinstance(metadata, dict) else {}, header, mapped.view(np.ndarray))


def read_object(content: Any, path: Path) -> dict[str, Any]:
    """Return an object that is written as JSON. Raises InputError if it is none."""
    try:
        found = json.loads(content)
    except (ValueError, TypeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InputError(f"'{path}' is damaged: what should be JSON in it is none. {AGAIN}")
    return found


def _counts(value: Any) -> list[int] | None:
    """Return a list of whole numbers from 0 on; None for anything else."""
    return value if isinstance(value, list) and all(type(one) is int and one >= 0 for one in value) else None
