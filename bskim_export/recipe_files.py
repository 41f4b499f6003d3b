"""Recipes: TOML files with the options of a calibration, of thresholds or of INT8, by name or by path."""

import math
import os
import reprlib
import tomllib
from dataclasses import Field, fields
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, get_args

from bskim_export.errors import InputError

LARGEST = 2**20
"""Bytes of a recipe at most."""


class IsDataclass(Protocol):
    """Any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


Recipe = TypeVar("Recipe", bound=IsDataclass)


def read_recipe(name_or_path: str, kind: type[Recipe]) -> Recipe:
    """Read a recipe by the name of one that ships with the project, or from a TOML file.

    Args:
        name_or_path: like "squad" or "mine.toml"
        kind: the dataclass whose fields are the recipe's keys, with dashes for underscores

    Raises:
        InputError: there is none, it cannot be read, it is not TOML, a key is unknown, a value is of a wrong type.
    """
    folder = resources.files("bskim_export.recipes")  # the top-level folder calibration/
    source: Traversable = Path(name_or_path)
    if not os.path.isfile(name_or_path):  # unlike Path.is_file, it is False for every name that cannot be
        names = sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))
        if name_or_path not in names:
            raise InputError(f"There is no recipe '{name_or_path}'. Pass a TOML file, or one of: {', '.join(names)}.")
        source = folder / f"{name_or_path}.toml"
    try:
        with source.open("rb") as stream:
            content = stream.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise InputError(f"'{name_or_path}' is no recipe: it is larger than {LARGEST:,} bytes.")
        values = tomllib.loads(content.decode())
    except OSError as error:
        raise InputError(f"'{name_or_path}' cannot be read: {error.strerror or error}.") from None
    except RecursionError:
        raise InputError(f"'{name_or_path}' is not valid TOML: it is nested deeper than any recipe is.") from None
    except InputError:
        raise
    except ValueError as error:  # no TOML, no UTF-8, or a number of too many digits
        raise InputError(f"'{name_or_path}' is not valid TOML: {error}") from None
    known = {f.name.replace("_", "-"): f for f in fields(kind)}
    for key, value in values.items():
        if key not in known:
            raise InputError(f"'{name_or_path}' has an unknown key '{key}'. Such a recipe has: {', '.join(known)}.")
        if not _fits(value, known[key].type):
            raise InputError(f"'{name_or_path}': {key} has a value of a wrong type: {reprlib.repr(value)}.")
    return kind(**{known[key].name: value for key, value in values.items()})


def _fits(value: object, kind: Any) -> bool:
    kinds = get_args(kind) or (kind,)
    if isinstance(value, bool):
        return bool in kinds
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return isinstance(value, kinds) or (isinstance(value, int) and float in kinds)
