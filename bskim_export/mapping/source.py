"""The input of a run: which files there are, of what kind, how many rows they have, and how they are cut into parts."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bskim_export.errors import InputError
from bskim_export.mapping import lines
from bskim_export.mapping.rows import Rows
from bskim_export.mapping.settings import JSONL, PARQUET, Settings

ENDINGS = (".parquet", ".jsonl", ".ndjson", ".json", ".jsonl.gz", ".ndjson.gz", ".json.gz")
"""Of the files of a directory that are read."""


@dataclass(frozen=True)
class SourceFile:
    """A file of rows.

    path: absolute; the same on every node
    size, mtime_ns: bytes, and the time of the last write
    rows: how many it has; 0 until they were counted
    offsets: of JSON lines, the bytes, unpacked, before the first row of each part
    """

    path: str
    size: int
    mtime_ns: int
    rows: int = 0
    offsets: tuple[int, ...] = ()

    @property
    def identity(self) -> dict[str, Any]:
        """Return what tells this file from another, without its rows."""
        return {"path": self.path, "size": self.size, "mtime_ns": self.mtime_ns}

    def check_unchanged(self) -> None:
        """Raise InputError unless the file is there, as it was when its rows were counted."""
        try:
            found = os.stat(self.path)
        except OSError as error:
            reason = error.strerror
            raise InputError(f"'{self.path}' cannot be read ({reason}). All nodes must see it at this path.") from error
        if (found.st_size, found.st_mtime_ns) != (self.size, self.mtime_ns):
            raise InputError(f"'{self.path}' was changed since its rows were counted. Begin anew, with another --out.")


@dataclass(frozen=True)
class Part:
    """Some rows of a file, which are answered together and become one file.

    number: from 0, over all files
    first: the number of its first row in the file
    rows: how many
    """

    number: int
    file: SourceFile
    first: int
    rows: int
    offset: int

    def name(self, form: str) -> str:
        """Return the name of its output.

        Example:
            >>> Part(12, SourceFile("/in.jsonl", 9, 0), 24000, 2000, 0).name("jsonl")
            'part-00012.jsonl'
        """
        return f"part-{self.number:05d}.{form}"


@dataclass(frozen=True)
class Source:
    """The input of a run.

    kind: PARQUET or JSONL
    files: in order
    passages: it has a column of passages
    schema: the columns of JSON lines that become Parquet, as text
    """

    path: str
    kind: str
    files: tuple[SourceFile, ...]
    passages: bool = False
    schema: str | None = None

    @property
    def rows(self) -> int:
        """Return how many rows there are."""
        return sum(file.rows for file in self.files)

    def parts(self, part_rows: int) -> Iterator[Part]:
        """Yield the parts. None has rows of two files."""
        number = 0
        for file in self.files:
            for first in range(0, file.rows, part_rows):
                offset = file.offsets[first // part_rows] if file.offsets else 0
                yield Part(number, file, first, min(part_rows, file.rows - first), offset)
                number += 1

    def as_record(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Source":
        """Return the input that `as_record` gave."""
        files = tuple(SourceFile(**{**file, "offsets": tuple(file["offsets"])}) for file in record["files"])
        return cls(**{**record, "files": files})


def find_source(path: Path) -> tuple[Source, list[str]]:
    """Return the files at a path, not counted yet, and the names of those in the directory that are left out.

    Raises:
        InputError: there are none, or they are of two kinds.
    """
    here = path.absolute()
    try:
        if here.is_dir():
            named = sorted(p for p in here.iterdir() if not p.name.startswith((".", "_")) and not p.is_dir())
            found = [p for p in named if p.name.lower().endswith(ENDINGS)]
            left_out = [p.name for p in named if p not in found]
            if not found:
                raise InputError(f"The directory '{path}' has no file that ends in one of {', '.join(ENDINGS)}.")
        else:
            found, left_out = [here], []
        files = tuple(_stamped(one) for one in found)
        kinds = {one: _kind(one) for one in found}
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"'{path}' cannot be read ({reason}). Pass a file of rows, or a directory of such.") from error
    if len(set(kinds.values())) > 1:
        one = {kind: file.name for file, kind in kinds.items()}
        raise InputError(
            f"'{path}' has files of two kinds: '{one[PARQUET]}' is Parquet, '{one[JSONL]}' is not. Map them apart."
        )
    return Source(str(here), next(iter(kinds.values())), files), left_out


def _stamped(path: Path) -> SourceFile:
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"'{path}' is no regular file. Pass a file of rows, or a directory of such.")
    return SourceFile(str(path), found.st_size, found.st_mtime_ns)


def _kind(path: Path) -> str:
    """Return the kind of a file. Its content says so, not its name."""
    with open(path, "rb") as stream:
        if stream.read(4) == b"PAR1":
            return PARQUET
    if path.name.lower().endswith(".parquet"):
        raise InputError(f"'{path}' is not Parquet, which its name says.")
    return JSONL


def count_rows(source: Source, settings: Settings) -> Source:
    """Return the source with its rows counted. Parquet tells them; JSON lines are read.

    Raises:
        InputError: a file cannot be read, lacks a column, or has one of a wrong type; or there are no rows.
    """
    counted: list[SourceFile] = []
    passages = False
    schema: Any = None
    for file in source.files:
        path = Path(file.path)
        if source.kind == PARQUET:
            from bskim_export.mapping import tables

            rows, names = tables.count(path, settings)
            counted.append(SourceFile(**file.identity, rows=rows))
        else:
            scan = lines.scan(path, settings)
            names = lines.columns_of(scan.head)
            counted.append(SourceFile(**file.identity, rows=scan.rows, offsets=tuple(scan.offsets)))
            if settings.format == PARQUET:
                from bskim_export.mapping import tables

                schema = tables.infer_schema(path, scan.offsets, scan.rows, settings.part_rows, schema)
                names = schema.names if schema is not None else names
        passages |= settings.passages_column in names
    text = None
    if schema is not None:
        settings.check_free(schema.names, f"'{source.path}'")
        text = tables.schema_to_text(schema)
    found = Source(source.path, source.kind, tuple(counted), passages, text)
    if not found.rows:
        raise InputError(f"There are no rows in '{source.path}'.")
    return found


def read_part(kind: str, part: Part) -> Rows:
    """Return the rows of a part. Raises InputError if the file is not as it was when its rows were counted."""
    part.file.check_unchanged()
    path = Path(part.file.path)
    if kind == PARQUET:
        from bskim_export.mapping import tables

        return tables.read(path, part.first, part.rows)
    return lines.LineRows(lines.read_raw(path, part.offset, part.rows), part.file.path, part.first)


def count_written(path: Path) -> int:
    """Return the rows of an output; -1 if it is not whole."""
    if path.suffix == f".{PARQUET}":
        from bskim_export.mapping import tables

        return tables.count_written(path)
    with open(path, "rb") as stream:
        return sum(line.endswith(b"\n") for line in stream)


def first_of(names: Sequence[str], most: int = 3) -> str:
    """Return some names and how many there are more.

    Example:
        >>> first_of(["a", "b", "c", "d", "e"])
        'a, b, c and 2 more'
    """
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
