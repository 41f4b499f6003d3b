"""Data files: JSON and JSON lines, gzipped or not, and their fields. An error names file, line or path, and field."""

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from bskim_export.errors import InputError

FORMS = (
    "A data set is 'squad' (the SQuAD 1.1 dev set that travels with the package), FILE or squad:FILE (SQuAD format), "
    "mrqa:FILE, hotpotqa:FILE, or hub:NAME[[:CONFIG]:SPLIT]."
)

_JSON_NAMES = {str: "a string", int: "a whole number", bool: "true or false", float: "a number", list: "a list",
               dict: "an object", type(None): "null"}  # fmt: skip


@contextmanager
def open_data(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading bytes; whether it is gzipped is told by its content, not by its name.

    Raises:
        InputError: there is no such file, it cannot be read, or the gzip is damaged (while reading, too).
    """
    if not path.is_file():
        raise InputError(f"There is no file '{path}'. {FORMS}")
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            with gzip.open(raw) if packed else raw as stream:
                yield stream
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"'{path}' is a damaged gzip file: {error}") from None
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}") from None


def read_json(path: Path) -> object:
    """Return the parsed content of a JSON file."""
    with open_data(path) as stream:
        data = stream.read()
    try:
        return json.loads(data)
    except ValueError as error:
        raise InputError(f"'{path}' is not valid JSON: {error}") from None


def read_json_lines(path: Path) -> Iterator[tuple[str, object]]:
    """Yield (place, parsed line) of a file with one JSON object a line, read as it goes; blank lines are skipped.

    The place, such as "file.jsonl.gz, line 3", is what errors about the line begin with.
    """
    with open_data(path) as stream:
        for number, line in enumerate(stream, 1):
            place = f"{path}, line {number}"
            if line.isspace():
                continue
            try:
                parsed = json.loads(line)
            except ValueError as error:
                raise InputError(f"{place}: not valid JSON: {error}") from None
            yield place, parsed


def field(parent: object, key: str | int, kind: type | tuple[type, ...], place: str, form: str):
    """Return `parent[key]`, checked.

    Args:
        kind: the Python type that its JSON type is read as, or several
        place: where `parent` stands, for the error
        form: the format that the file should have, for the error

    Raises:
        InputError: it is missing, or of another type.

    Example:
        >>> field({"id": 7}, "id", str, "dev.json: data[0]", "SQuAD format")
        Traceback (most recent call last):
        bskim_export.errors.InputError: dev.json: data[0]: 'id' should be a string, found a whole number.
    """
    if not isinstance(parent, dict) or key not in parent:
        raise InputError(f"{place}: '{key}' is missing; is this {form}?")
    return check_kind(parent[key], kind, place, f"'{key}'")


def check_kind(value: object, kind: type | tuple[type, ...], place: str, what: str):
    """Return the value if it is of that type. `what` names it in the InputError."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if type(value) not in kinds:  # not isinstance: JSON's true is no number
        expected = " or ".join(_JSON_NAMES[k] for k in kinds)
        raise InputError(
            f"{place}: {what} should be {expected}, found {_JSON_NAMES.get(type(value), type(value).__name__)}."
        )
    return value
