"""Check the fields of parsed JSON. An error names the place inside the file, and the field."""

from reprlib import Repr
from typing import TypeVar

from bskim_export.errors import InputError

_T = TypeVar("_T")

_JSON_NAMES = {str: "a string", int: "a whole number", bool: "true or false", float: "a number", list: "a list",
               dict: "an object", type(None): "null"}  # fmt: skip
_SHORT = Repr()
_SHORT.maxlevel = 3
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60


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
    raise InputError(f"{place}: {what} should be {expected}, found {kind_of(value)}.")


def kind_of(value: object) -> str:
    """Return in words what kind of JSON value this is.

    Example:
        >>> kind_of([1]), kind_of(None)
        ('a list', 'null')
    """
    return _JSON_NAMES.get(type(value), type(value).__name__)


def short(value: object) -> str:
    """Return a value as an error may show it, however long or deeply nested it is.

    Example:
        >>> short([[1, 2], "x"])
        "[[1, 2], 'x']"
    """
    return _SHORT.repr(value)
