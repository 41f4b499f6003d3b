"""Rows that are JSON lines. An object's text is kept as it is: what is added stands behind its last value."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bskim_export.data.files import open_data, parse_json
from bskim_export.data.limits import VARIABLE, Limits, in_words
from bskim_export.errors import InputError
from bskim_export.mapping.rows import Added, Asked, to_question
from bskim_export.mapping.settings import Settings

HEAD = 20
"""Lines from which it is told whether a file is JSON lines, and of what columns."""

_BOM = b"\xef\xbb\xbf"


@dataclass
class Scan:
    """What a look at a whole file found.

    rows: lines that are not blank
    offsets: bytes, unpacked, before the first row of each part
    head: the first rows
    """

    rows: int = 0
    offsets: list[int] = field(default_factory=list)
    head: list[bytes] = field(default_factory=list)


def scan(path: Path, settings: Settings) -> Scan:
    """Read a file once and count its rows.

    Raises:
        InputError: it cannot be read, is no JSON lines, or lacks a column in its first rows.
    """
    found = Scan()
    longest = Limits.of().line
    position = 0
    with open_data(path) as stream:
        while line := stream.readline(longest + 1):
            if len(line) > longest:
                raise InputError(
                    f"'{path}', row {found.rows}: more than {in_words(longest)} in a line. Set {VARIABLE} to more."
                )
            if not line.isspace():
                if found.rows % settings.part_rows == 0:
                    found.offsets.append(position)
                if found.rows < HEAD:
                    found.head.append(line)
                found.rows += 1
            position += len(line)
    if found.rows:
        _check_head(path, found.head, settings)
    return found


def _check_head(path: Path, head: Sequence[bytes], settings: Settings) -> None:
    if all(isinstance(parse_line(one), InputError) for one in head):
        advice = (
            " One array is made into lines by: jq -c '.[]' FILE" if head[0].lstrip(_BOM).lstrip()[:1] == b"[" else ""
        )
        raise InputError(f"'{path}' is neither Parquet nor JSON lines, one object a line.{advice}")
    settings.check_columns(columns_of(head), f"'{path}'")


def columns_of(head: Sequence[bytes]) -> list[str]:
    """Return the names of all columns of some lines."""
    objects = [one for one in map(parse_line, head) if isinstance(one, dict)]
    return list(dict.fromkeys(name for one in objects for name in one))


def parse_line(line: bytes) -> dict[str, Any] | InputError:
    """Return the object on a line, or why there is none.

    Example:
        >>> parse_line(b'{"question": "Who?"}')
        {'question': 'Who?'}
    """
    try:
        if not json.detect_encoding(line).startswith("utf-8"):
            return InputError("The line is not in UTF-8.")
        value = parse_json(line, "The line is", Limits.of())
    except InputError as error:
        return error
    return value if isinstance(value, dict) else InputError(f"The line is no JSON object, but {type(value).__name__}.")


def read_raw(path: Path, offset: int, count: int) -> list[bytes]:
    """Return so many rows, from so many unpacked bytes on. Raises InputError if the file has no longer so many."""
    lines: list[bytes] = []
    with open_data(path) as stream:
        stream.seek(offset)
        while len(lines) < count and (line := stream.readline()):
            if not line.isspace():
                lines.append(line)
    if len(lines) < count:
        raise InputError(f"'{path}' has fewer rows than when they were counted. Let it be while it is read.")
    return lines


class LineRows:
    """The rows of a part, each a line.

    Args:
        lines: not blank, with or without their ends
        where: names the file, for messages
        first: the number of the first row in it
    """

    def __init__(self, lines: Sequence[bytes], where: str, first: int = 0):
        self._lines = lines
        self._parsed = [parse_line(line) for line in lines]
        self._where = where
        self._first = first

    def questions(self, settings: Settings) -> list[Asked]:
        """Return what each row asks. Raises InputError if one has a column of the name of one that is added."""
        asked: list[Asked] = []
        for number, row in enumerate(self._parsed, self._first):
            if isinstance(row, InputError):
                asked.append(InputError(f"'{self._where}', row {number}: {row}"))
                continue
            settings.check_free(row, f"'{self._where}', row {number}")
            names = (settings.question_column, settings.context_column, settings.passages_column)
            asked.append(to_question(*map(row.get, names)))
        return asked

    def to_lines(self, added: Sequence[Added], prefix: str) -> bytes:
        """Return the lines with the added values behind their own; of a line that is no object, these alone."""
        out = []
        for line, row, more in zip(self._lines, self._parsed, added, strict=True):
            body = b"{" if isinstance(row, InputError) else line.removeprefix(_BOM).strip()[:-1].rstrip()
            named = to_json({f"{prefix}{name}": value for name, value in more.items()})
            out.append(body + (b"" if body == b"{" else b", ") + named[1:] + b"\n")
        return b"".join(out)

    def to_parquet(self, added: Sequence[Added], prefix: str, schema: Any) -> bytes:
        """Return the rows with the added values, as Parquet of the columns of `schema`."""
        from bskim_export.mapping.tables import TableRows, table_of

        rows = [{} if isinstance(row, InputError) else row for row in self._parsed]
        return TableRows(table_of(rows, schema, f"'{self._where}'")).to_parquet(added, prefix, None)


def to_json(value: Any) -> bytes:
    """Return JSON in UTF-8 on one line."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
