"""One file for the weights of all graphs: ONNX external data, every tensor stored once."""

import hashlib
from pathlib import Path

import numpy as np
import onnx_ir as ir

ALIGNMENT = 4096  # a memory page, so that runtimes can map tensors


class WeightStore:
    """Appends tensors to a file; one whose bytes are there already is not stored again.

    Use as a context manager: the file is complete when the block ends. Graphs that point to it lie in the same folder.
    """

    def __init__(self, path: Path):
        self._path = path
        self._places: dict[bytes, tuple[int, int]] = {}

    def __enter__(self) -> "WeightStore":
        self._stream = open(self._path, "wb")
        return self

    def __exit__(self, *exception: object) -> None:
        self._stream.close()

    def add(self, name: str, array: np.ndarray) -> ir.ExternalTensor:
        """Store an array and return the reference that a graph in the same folder keeps."""
        data = np.ascontiguousarray(array).tobytes()
        digest = hashlib.sha256(data).digest()
        if digest not in self._places:
            # Zeros up to the next page, then the tensor.
            self._stream.write(bytes(-self._stream.tell() % ALIGNMENT))
            self._places[digest] = (self._stream.tell(), len(data))
            self._stream.write(data)
        offset, length = self._places[digest]
        return ir.ExternalTensor(
            self._path.name,
            offset,
            length,
            ir.DataType.from_numpy(array.dtype),
            shape=ir.Shape(array.shape),
            name=name,
            base_dir=self._path.parent,
        )
