"""The options of a threshold calibration, and recipes that hold them."""

import math
from dataclasses import dataclass, replace
from typing import Any

from bskim_export.errors import InputError
from bskim_export.recipe_files import read_recipe

OBJECTIVES = ("macs", "latency")


@dataclass(frozen=True)
class Recipe:
    """The questions to calibrate thresholds on, and the goal: `max_f1_drop` or `risk`, one of the two.

    dataset: a data set's name or file
    sample: questions to calibrate thresholds on, drawn at random
    held_out: further ones, only to report on
    seed: of the draw
    max_f1_drop: points of F1 that skimming may cost on average
    risk: instead, the share of questions that may lose an answer block they needed
    confidence: how sure that must be
    objective: the cost to save, one of OBJECTIVES
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


def load_recipe(name_or_path: str) -> Recipe:
    """Read a recipe by the name of one that ships with the project, or from a TOML file.

    Raises:
        InputError: there is none, it is not TOML, a key is unknown, a value is of a wrong type, both goals are set.

    Example:
        >>> load_recipe("squad").max_f1_drop
        0.2
    """
    return check(read_recipe(name_or_path, Recipe))


def override(recipe: Recipe, **options: Any) -> Recipe:
    """Return the recipe with the options that are not None; a goal among them replaces the recipe's goal.

    Raises:
        InputError: the result makes no sense.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if "max_f1_drop" in given or "risk" in given:
        recipe = replace(recipe, max_f1_drop=None, risk=None)
    return check(replace(recipe, **given))


def check(recipe: Recipe) -> Recipe:
    """Return the recipe; raise InputError if its values make no sense."""
    if recipe.max_f1_drop is not None and recipe.risk is not None:
        raise InputError("Ask for --max-f1-drop or for --risk, not for both: each chooses the thresholds.")
    if recipe.objective not in OBJECTIVES:
        raise InputError(f"objective is one of {', '.join(OBJECTIVES)}, got '{recipe.objective}'.")
    if recipe.max_f1_drop is not None and not 0 <= recipe.max_f1_drop < math.inf:
        raise InputError(f"max-f1-drop cannot be below 0 or without end, got {recipe.max_f1_drop:g}.")
    for name in ("risk", "confidence"):
        value = getattr(recipe, name)
        if value is not None and not 0 < value < 1:
            raise InputError(f"{name} lies between 0 and 1, got {value:g}.")
    for name, least in (("sample", 2), ("held_out", 0)):
        if getattr(recipe, name) < least:
            raise InputError(f"{name.replace('_', '-')} must be at least {least}, got {getattr(recipe, name)}.")
    return recipe
