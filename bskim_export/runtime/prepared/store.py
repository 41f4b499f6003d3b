"""Prepared documents on disk: files in safetensors, mapped into memory, so that processes share them.

A store is a directory. Each of its files holds some documents and is written under another name first. So documents
are added by adding files, a killed run loses what was not written yet and nothing else, and any number of processes may
read and add at once. A document's key is a hash of its name and text: what is there already is not prepared again.
"""

import hashlib
import json
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bskim_export.atomic import explained
from bskim_export.errors import InputError, OutputError
from bskim_export.locks import take_lock
from bskim_export.runtime.asked import Passage
from bskim_export.runtime.prepared.prepared import Prepared, checksum
from bskim_export.runtime.prepared.tensor_file import AGAIN, DTYPES, open_tensors, read_object, write_tensors

FORMAT = "bskim-export prepared 1"
SUFFIX = ".safetensors"
STATES = ("float16", "int8")
"""What states are kept in."""
_ARRAYS = {
    "states": "F16",
    "features": "F32",
    "offsets": "I32",
    "words": "I32",
    "tokens": "I64",
    "checks": "I64",
    "texts": "U8",
}
_INT8 = _ARRAYS | {"states": "I8", "scales": "F32"}


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
    found: dict[str, Any] = {
        "states": prepared.states,
        "features": prepared.features,
        "offsets": prepared.offsets,
        "words": prepared.words,
        "tokens": prepared.tokens,
        "checks": prepared.sums,
        "texts": np.frombuffer(json.dumps(texts).encode(), np.uint8),  # as ASCII: a text may hold lone surrogates
    }
    kinds = _ARRAYS
    if prepared.scales is not None:
        kinds, found["scales"] = _INT8, prepared.scales
    arrays = {name: np.ascontiguousarray(found[name], DTYPES[kind]) for name, kind in kinds.items()}
    sums = {name: str(checksum(array)) for name, array in arrays.items() if name != "states"}
    metadata = {"format": FORMAT, "identity": prepared.identity, "crc32": json.dumps(sums)}
    write_tensors(Path(path), arrays, metadata)


def load(path: str | Path, *, verify: bool = True) -> Prepared:
    """Return what `save` wrote. Its arrays are mapped: a question reads the states that it needs from the disk, and
    compares them with their checksums then.

    Args:
        verify: compare all but the states with their checksums now

    Raises:
        InputError: the file cannot be read, is of something else, or is damaged.
    """
    path = Path(path)
    file = open_tensors(path)
    if file.metadata.get("format") != FORMAT:
        raise InputError(f"'{path}' holds no prepared passages of this release. {AGAIN}")
    kinds = _INT8 if file.has("scales") else _ARRAYS
    arrays = {name: file.array(name, kind) for name, kind in kinds.items()}
    sums = read_object(file.metadata.get("crc32"), path)
    for name, array in arrays.items() if verify else ():
        if name != "states" and str(checksum(array)) != sums.get(name):
            raise InputError(f"'{path}' is damaged: its {name} are not those that were written. {AGAIN}")
    texts = read_object(bytes(arrays["texts"]), path)
    prepared = Prepared(
        str(file.metadata.get("identity")),
        _passages(texts.get("passages"), path),
        np.array(arrays["tokens"]),
        arrays["states"],
        arrays["features"],
        arrays["offsets"],
        arrays["words"],
        bool(texts.get("joint")),
        _names(texts.get("names"), path),
        arrays.get("scales"),
        arrays["checks"],
        str(path),
    )
    _require_fit(prepared, path)
    if verify:
        _require_offsets(prepared, path)
    return prepared


def _passages(found: Any, path: Path) -> list[Passage]:
    try:
        return [Passage(str(text), str(title)) for text, title in found]
    except (TypeError, ValueError):
        raise InputError(f"'{path}' is damaged: its texts are none. {AGAIN}") from None


def _names(found: Any, path: Path) -> list[str]:
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise InputError(f"'{path}' is damaged: its names are none. {AGAIN}")
    return found


def _require_fit(prepared: Prepared, path: Path) -> None:
    """Raise InputError unless the arrays are of one size."""
    blocks = len(prepared.states)
    shapes = [a.ndim for a in (prepared.states, prepared.features, prepared.offsets, prepared.words)]
    fits = (
        shapes == [3, 3, 3, 2]
        and {len(prepared.features), len(prepared.offsets), len(prepared.words)} == {blocks}
        and prepared.checks is not None
        and prepared.checks.shape == (blocks,)
        and prepared.tokens.shape == (len(prepared.passages),)
        and (not prepared.names or len(prepared.names) == len(prepared.passages))
        and prepared.states.shape[1] == prepared.offsets.shape[1] == prepared.words.shape[1] > 0
        and prepared.offsets.shape[2] == 2
        and (prepared.scales is None or prepared.scales.shape == prepared.words.shape)
        and bool((prepared.tokens >= 0).all())
        and int(prepared.first[-1]) == blocks
    )
    if not fits:
        raise InputError(f"'{path}' is damaged: its parts do not fit each other. {AGAIN}")


def _require_offsets(prepared: Prepared, path: Path) -> None:
    """Raise InputError unless tokens stand for characters that their passages have."""
    lengths = np.array([len(one.whole) for one in prepared.passages], np.int64)[prepared.passage]
    begins, ends = prepared.offsets[..., 0], prepared.offsets[..., 1]
    if (begins < 0).any() or (begins > ends).any() or (ends > lengths[:, None]).any():
        raise InputError(f"'{path}' is damaged: its offsets are not those of its texts. {AGAIN}")


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

    def contents(self) -> Iterator[tuple[Path, Prepared, list[str]]]:
        """Yield each file, what is there, and the keys of its documents. Checksums are not compared.

        Raises:
            InputError: a file is damaged, or its passages have no names.
        """
        for path in self.files():
            prepared = load(path, verify=False)
            yield path, prepared, _keys(prepared)

    def keys(self) -> Iterator[str]:
        """Yield the keys of all documents that are there."""
        for _, _, keys in self.contents():
            yield from keys

    def add(self, prepared: Prepared) -> Path:
        """Write documents into a new file, and return it.

        Raises:
            InputError: they have no names.
            OutputError: the directory cannot be written.
        """
        own = hashlib.sha256("".join(_keys(prepared)).encode()).hexdigest()[:20]
        path = self.folder / f"{own}{SUFFIX}"
        save(prepared, path)
        return path

    def remove(self, keys: Collection[str], files: Collection[Path] | None = None) -> int:
        """Remove documents, and return how many. Each of their files is replaced by one that lacks them.

        Whoever reads goes on with what it has opened. Only one process may remove documents at a time; see `alone`.

        Args:
            files: those that hold them, if that is known

        Raises:
            InputError: a file is damaged.
            OutputError: the directory cannot be written.
        """
        removed = 0
        for path in self.files() if files is None else sorted(files):
            prepared = load(path, verify=False)
            stay = [i for i, key in enumerate(_keys(prepared)) if key not in keys]
            removed += len(prepared.passages) - len(stay)
            if not stay:
                with explained(path):
                    path.unlink(missing_ok=True)
            elif len(stay) < len(prepared.passages):
                # Under its old name: that is of more documents, so who adds those writes over what this file holds.
                save(load(path).only(stay), path)
        return removed

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Have the store as the only one who changes what is there.

        Raises:
            OutputError: somebody else has it, or it cannot be made.
        """
        with explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if take_lock(descriptor) is False:
                raise OutputError(f"Another bskim-prepare writes into '{self.folder}'. Wait for it to end.")
            yield
        finally:
            os.close(descriptor)


def _keys(prepared: Prepared) -> list[str]:
    if not prepared.names:
        where = f"'{prepared.source}' holds passages without names." if prepared.source else ""
        raise InputError(f"{where} Documents of a store have names: pass name= to `prepare`.".lstrip())
    return [document_key(name, [one]) for name, one in zip(prepared.names, prepared.passages, strict=True)]
