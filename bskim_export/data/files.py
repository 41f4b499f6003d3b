"""Read data files (JSON or JSON lines, gzipped or not) and check their fields.

An error names the file, the line or the path inside the JSON, and the field.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import TypeVar

from bskim_export.errors import InputError

FORMS = (
    "A data set is 'squad' (the SQuAD 1.1 dev set that travels with the package), FILE or squad:FILE (SQuAD format), "
    "mrqa:FILE, hotpotqa:FILE, or hub:NAME[[:CONFIG]:SPLIT]."
)

_T = TypeVar("_T")

_JSON_NAMES = {str: "a string", int: "a whole number", bool: "true or false", float: "a number", list: "a list",
               dict: "an object", type(None): "null"}  # fmt: skip


@contextmanager
def open_data(path: Path) -> Iterator[BufferedIOBase]:
    """Open a file for reading bytes. Its content says whether it is gzipped, not its name.

    Raises:
        InputError: there is no such file, it cannot be read, or its gzip data is damaged. The damage may show only
            while the stream is read.
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
    """Return the parsed content of a JSON file.

    Raises:
        InputError: the file cannot be read, or is not JSON.
    """
    with open_data(path) as stream:
        data = stream.read()
    try:
        return json.loads(data)
    except ValueError as error:
        raise InputError(f"'{path}' is not valid JSON: {error}") from None


def read_json_lines(path: Path) -> Iterator[tuple[str, object]]:
    """Yield (place, parsed line) of a file with one JSON value a line. Blank lines are skipped.

    The file is read as the lines are asked for. The place, such as "file.jsonl.gz, line 3", is for error messages.

    Raises:
        InputError: the file cannot be read, or a line is not JSON.
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


def field(parent: object, key: str, kind: type[_T] | tuple[type[_T], ...], place: str, form: str) -> _T:
    """Return `parent[key]` of a JSON object, checked to be of the kind.

    Args:
        kind: the Python type that the value must have, or a tuple of allowed ones
        place: the position of `parent` in the file, for the error
        form: the format that the file should have, for the error

    Raises:
        InputError: the field is missing, or of another type.

    Example:
        >>> field({"id": 7}, "id", str, "dev.json: data[0]", "SQuAD format")
        Traceback (most recent call last):
        bskim_export.errors.InputError: dev.json: data[0]: 'id' should be a string, found a whole number.
    """
    if not isinstance(parent, dict) or key not in parent:
        raise InputError(f"{place}: '{key}' is missing; is this {form}?")
    return check_kind(parent[key], kind, place, f"'{key}'")


def optional_field(parent: object, key: str, default: _T, place: str) -> _T:
    """Return `parent[key]` of a JSON object, checked to be of the default's type, or the default if it is missing.

    Raises:
        InputError: the field is of another type.
    """
    if not isinstance(parent, dict) or key not in parent:
        return default
    return check_kind(parent[key], type(default), place, f"'{key}'")


def check_kind(value: object, kind: type[_T] | tuple[type[_T], ...], place: str, what: str) -> _T:
    """Return the value if it is of the kind.

    Args:
        kind: the Python type that the value must have, or a tuple of allowed ones
        place: the position of the value in the file, for the error
        what: the name of the value, for the error

    Raises:
        InputError: the value is of another type.
    """
    kinds = kind if isinstance(kind, tuple) else (kind,)
    # isinstance alone is not enough: JSON's true is no number, but Python's bool is an int.
    if isinstance(value, kinds) and type(value) in kinds:
        return value
    expected = " or ".join(_JSON_NAMES[k] for k in kinds)
    found = _JSON_NAMES.get(type(value), type(value).__name__)
    raise InputError(f"{place}: {what} should be {expected}, found {found}.")
