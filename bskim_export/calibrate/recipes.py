"""Calibration recipes: TOML files with the options of bskim-calibrate, or with what INT8 is calibrated on."""

import tomllib
from dataclasses import dataclass, fields, replace
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from bskim_export.errors import InputError

OBJECTIVES = ("macs", "latency")


@dataclass(frozen=True)
class Recipe:
    """What to calibrate on, and for which goal: `max_f1_drop` or `risk`, one of the two.

    dataset: a data set's name or file
    sample: calibration questions, drawn at random; held_out: further ones, only to report on; seed: of the draw
    max_f1_drop: points of F1 that skimming may cost on average
    risk, confidence: the share of questions that may lose an answer block they needed, and how sure that must be
    objective: what the cheapest thresholds are cheapest in, "macs" or "latency"
    max_seq_len: positions of a window; default: the bundle's
    """

    dataset: str = "squad"
    sample: int = 1000
    held_out: int = 500
    seed: int = 42
    max_f1_drop: float | None = None
    risk: float | None = None
    confidence: float = 0.95
    objective: str = "macs"
    max_seq_len: int | None = None


@dataclass(frozen=True)
class Int8Recipe:
    """What `bskim-export --precision int8` looks at, to see what values the model computes with.

    dataset: a data set's name or file
    sample: questions of it, drawn at random; seed: of the draw
    method: of turning values into a range, "minmax", "percentile" or "entropy"
    """

    dataset: str = "squad"
    sample: int = 100
    seed: int = 7
    method: str = "minmax"


def load_recipe(name_or_path: str) -> Recipe:
    """Read a recipe by the name of one that ships with the project, or from a TOML file.

    Raises:
        InputError: there is none, it is not TOML, a key is unknown, a value is of a wrong type, both goals are set.

    Example:
        >>> load_recipe("squad").max_f1_drop
        0.2
    """
    return check(_read(name_or_path, Recipe))


def load_int8_recipe(name_or_path: str) -> Int8Recipe:
    """Read a recipe for INT8; the same as `load_recipe` otherwise.

    Example:
        >>> load_int8_recipe("int8").method
        'minmax'
    """
    recipe = _read(name_or_path, Int8Recipe)
    if recipe.sample < 1:
        raise InputError(f"sample must be at least 1, got {recipe.sample}.")
    return recipe


def _read(name_or_path: str, kind: type):
    folder = _shipped()
    source: Traversable = Path(name_or_path)
    if not source.is_file():
        source = folder / f"{name_or_path}.toml"
    if not source.is_file():
        names = ", ".join(sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")))
        raise InputError(f"There is no recipe '{name_or_path}'. Pass a TOML file, or one of: {names}.")
    try:
        values = tomllib.loads(source.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"'{name_or_path}' is not valid TOML: {error}") from None
    known = {f.name.replace("_", "-"): f for f in fields(kind)}
    for key, value in values.items():
        if key not in known:
            raise InputError(f"'{name_or_path}' has an unknown key '{key}'. Such a recipe has: {', '.join(known)}.")
        if not _fits(value, known[key].type):
            raise InputError(f"'{name_or_path}': {key} has a value of a wrong type: {value!r}.")
    return kind(**{known[key].name: value for key, value in values.items()})


def override(recipe: Recipe, **options) -> Recipe:
    """Return the recipe with the options that are not None; a goal among them replaces the recipe's goal."""
    given = {name: value for name, value in options.items() if value is not None}
    if "max_f1_drop" in given or "risk" in given:
        recipe = replace(recipe, max_f1_drop=None, risk=None)
    return check(replace(recipe, **given))


def check(recipe: Recipe) -> Recipe:
    """Return the recipe; raise InputError if its values cannot be meant."""
    if recipe.max_f1_drop is not None and recipe.risk is not None:
        raise InputError("Ask for --max-f1-drop or for --risk, not for both: each chooses the thresholds.")
    if recipe.objective not in OBJECTIVES:
        raise InputError(f"objective is one of {', '.join(OBJECTIVES)}, got '{recipe.objective}'.")
    if recipe.max_f1_drop is not None and recipe.max_f1_drop < 0:
        raise InputError(f"max-f1-drop cannot be below 0, got {recipe.max_f1_drop:g}.")
    for name in ("risk", "confidence"):
        value = getattr(recipe, name)
        if value is not None and not 0 < value < 1:
            raise InputError(f"{name} lies between 0 and 1, got {value:g}.")
    for name, least in (("sample", 2), ("held_out", 0)):
        if getattr(recipe, name) < least:
            raise InputError(f"{name.replace('_', '-')} must be at least {least}, got {getattr(recipe, name)}.")
    return recipe


def _fits(value: object, kind) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, kind) or (isinstance(value, int) and isinstance(0.0, kind))


def _shipped() -> Traversable:
    try:  # installed: setup.py maps the top-level folder calibration/ into the package
        return resources.files("bskim_export.recipes")
    except ModuleNotFoundError:  # a checkout that is not installed
        return Path(__file__).parents[2] / "calibration"
