"""Prepared documents on disk: files in safetensors, mapped into memory, so that processes share them.

A store is a directory. Each of its files holds some documents, is written under another name first and never changed,
so documents are added by adding files, a killed run loses what was not written yet and nothing else, and any number of
processes may read and add at once. A document's key is a hash of its name and text: what is there already is not
prepared again.
"""

import hashlib
import json
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bskim_export.atomic import write_atomic
from bskim_export.errors import InputError, OutputError
from bskim_export.runtime.asked import Passage
from bskim_export.runtime.prepared.prepared import Prepared, checksum

FORMAT = "bskim-export prepared 1"
SUFFIX = ".safetensors"
LARGEST_HEADER = 1 << 24
_DTYPES = {"F16": np.float16, "F32": np.float32, "I32": np.int32, "I64": np.int64, "U8": np.uint8}
_ARRAYS = {
    "states": "F16",
    "features": "F32",
    "offsets": "I32",
    "words": "I32",
    "tokens": "I64",
    "checks": "I64",
    "texts": "U8",
}
_AGAIN = "Prepare the documents again."


def save(prepared: Prepared, path: str | Path) -> None:
    """Write prepared passages into one file, which appears whole or not at all.

    Raises:
        OutputError: it cannot be written.

    Example:
        >>> save(qa.prepare("Ada wrote it in 1843."), "ada.safetensors")  # doctest: +SKIP
    """
    texts = {
        "passages": [[one.text, one.title] for one in prepared.passages],
        "names": prepared.names,
        "joint": prepared.joint,
    }
    content = json.dumps(texts).encode()  # as ASCII: a text may hold lone surrogates
    arrays: dict[str, npt.NDArray[Any]] = {
        "states": prepared.states,
        "features": prepared.features,
        "offsets": prepared.offsets,
        "words": prepared.words,
        "tokens": prepared.tokens,
        "checks": np.array([checksum(block) for block in prepared.states], np.int64),
        "texts": np.frombuffer(content, np.uint8),
    }
    header: dict[str, Any] = {}
    place = 0
    for name, array in arrays.items():
        arrays[name] = np.ascontiguousarray(array, _DTYPES[_ARRAYS[name]])
        header[name] = {
            "dtype": _ARRAYS[name],
            "shape": list(array.shape),
            "data_offsets": [place, place + arrays[name].nbytes],
        }
        place += arrays[name].nbytes
    sums = {name: str(checksum(array)) for name, array in arrays.items() if name != "states"}
    header["__metadata__"] = {"format": FORMAT, "identity": prepared.identity, "crc32": json.dumps(sums)}
    raw = json.dumps(header).encode()
    raw += b" " * (-(len(raw) + 8) % 64)  # arrays begin at a multiple of 64 bytes

    def write(stream: Any) -> None:
        stream.write(struct.pack("<Q", len(raw)))
        stream.write(raw)
        for array in arrays.values():
            stream.write(array.data.cast("B") if array.size else b"")

    write_atomic(Path(path), write)


def load(path: str | Path, *, verify: bool = True) -> Prepared:
    """Return what `save` wrote. Its arrays are mapped: a question reads the states that it needs from the disk, and
    compares them with their checksums then.

    Args:
        verify: compare all but the states with their checksums now

    Raises:
        InputError: the file cannot be read, is of something else, or is damaged.
    """
    path = Path(path)
    try:
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            header, begin = _read_header(stream, size, path)
        metadata = header.pop("__metadata__", None)
        if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
            raise InputError(f"'{path}' holds no prepared passages of this release. {_AGAIN}")
        mapped = np.memmap(path, np.uint8, "r", offset=begin) if size > begin else np.zeros(0, np.uint8)
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}.") from error
    arrays = {name: _array(header, name, kind, mapped, path) for name, kind in _ARRAYS.items()}
    sums = _object(metadata.get("crc32"), path)
    for name, array in arrays.items() if verify else ():
        if name != "states" and str(checksum(array)) != sums.get(name):
            raise InputError(f"'{path}' is damaged: its {name} are not those that were written. {_AGAIN}")
    texts = _object(bytes(arrays["texts"]), path)
    prepared = Prepared(
        str(metadata.get("identity")),
        _passages(texts.get("passages"), path),
        np.array(arrays["tokens"]),
        arrays["states"],
        arrays["features"],
        arrays["offsets"],
        arrays["words"],
        bool(texts.get("joint")),
        [str(name) for name in texts.get("names") or []],
        arrays["checks"],
        str(path),
    )
    _require_fit(prepared, path)
    return prepared


def _read_header(stream: Any, size: int, path: Path) -> tuple[dict[str, Any], int]:
    raw = stream.read(8)
    length = struct.unpack("<Q", raw)[0] if len(raw) == 8 else 0
    if not 2 <= length <= min(LARGEST_HEADER, size - 8):
        raise InputError(f"'{path}' is no file in safetensors, or it was cut off. {_AGAIN}")
    return _object(stream.read(length), path), 8 + length


def _object(content: Any, path: Path) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, TypeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InputError(f"'{path}' is damaged: what should be JSON in it is none. {_AGAIN}")
    return found


def _array(header: dict[str, Any], name: str, kind: str, mapped: npt.NDArray[np.uint8], path: Path) -> Any:
    """Return one array of the file, mapped."""
    entry = header.get(name)
    try:
        assert isinstance(entry, dict) and entry["dtype"] == kind
        shape = [int(n) for n in entry["shape"]]
        begin, end = (int(n) for n in entry["data_offsets"])
        assert 0 <= begin <= end <= len(mapped) and min(shape, default=0) >= 0
        found = mapped[begin:end].view(_DTYPES[kind]).reshape(shape)
    except (AssertionError, KeyError, TypeError, ValueError):
        raise InputError(
            f"'{path}' is damaged, or was cut off: its {name} are not there as a whole. {_AGAIN}"
        ) from None
    return found


def _passages(found: Any, path: Path) -> list[Passage]:
    try:
        return [Passage(str(text), str(title)) for text, title in found]
    except (TypeError, ValueError):
        raise InputError(f"'{path}' is damaged: its texts are none. {_AGAIN}") from None


def _require_fit(prepared: Prepared, path: Path) -> None:
    """Raise InputError unless the arrays are of one size."""
    blocks = len(prepared.states)
    shapes = [a.ndim for a in (prepared.states, prepared.features, prepared.offsets, prepared.words)]
    fits = (
        shapes == [3, 3, 3, 2]
        and {len(prepared.features), len(prepared.offsets), len(prepared.words)} == {blocks}
        and len(prepared.checks) == blocks
        and len(prepared.tokens) == len(prepared.passages)
        and (not prepared.names or len(prepared.names) == len(prepared.passages))
        and prepared.states.shape[1] == prepared.offsets.shape[1] == prepared.words.shape[1] > 0
        and bool((prepared.tokens >= 0).all())
        and int(prepared.first[-1]) == blocks
    )
    if not fits:
        raise InputError(f"'{path}' is damaged: its parts do not fit each other. {_AGAIN}")


def document_key(name: str, passages: Sequence[Passage]) -> str:
    """Return the key of a document: equal for the same name and texts only."""
    content = json.dumps([name, [[one.text, one.title] for one in passages]])
    return hashlib.sha256(content.encode()).hexdigest()[:32]


@dataclass
class Store:
    """A directory of prepared documents.

    Args:
        folder: is made when the first document is added

    Example:
        >>> qa(question="Who wrote it?", prepared=Store("store").load())  # doctest: +SKIP
    """

    folder: Path

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def files(self) -> list[Path]:
        """Return the store's files, sorted."""
        return sorted(path for path in self.folder.glob(f"*{SUFFIX}") if not path.name.startswith("."))

    def load(self) -> list[Prepared]:
        """Return what is there, mapped; see `load`.

        Raises:
            InputError: there is no store, or a file is damaged.
        """
        if not self.folder.is_dir():
            raise InputError(f"There is no store '{self.folder}'. Make one: bskim-prepare FILES --out {self.folder}")
        found = [load(path) for path in self.files()]
        if not found:
            raise InputError(f"The store '{self.folder}' is empty: bskim-prepare adds documents to it.")
        return found

    def keys(self) -> Iterator[str]:
        """Yield the keys of all documents that are there."""
        for path in self.files():
            prepared = load(path, verify=False)
            for name, passage in zip(prepared.names, prepared.passages, strict=True):
                yield document_key(name, [passage])

    def add(self, prepared: Prepared) -> Path:
        """Write documents into a new file, and return it.

        Raises:
            InputError: they have no names.
            OutputError: the directory cannot be written.
        """
        if not prepared.names:
            raise InputError("Documents of a store have names: pass name= to `prepare`.")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"'{self.folder}' cannot be made: {error.strerror}.") from error
        keys = [document_key(n, [p]) for n, p in zip(prepared.names, prepared.passages, strict=True)]
        own = hashlib.sha256("".join(keys).encode()).hexdigest()[:20]
        path = self.folder / f"{own}{SUFFIX}"
        save(prepared, path)
        return path
