"""The questions and the method of an INT8 calibration."""

from collections.abc import Sequence
from dataclasses import dataclass

from bskim_export.data.question import Question, sample
from bskim_export.data.readers import read_questions
from bskim_export.errors import InputError
from bskim_export.recipe_files import read_recipe

METHODS = ("minmax", "percentile", "entropy")


@dataclass(frozen=True)
class Int8Recipe:
    """The questions that `bskim-export --precision int8` looks at, to see the values that the model computes with.

    dataset: a data set's name or file
    sample: questions of it, drawn at random
    seed: of the draw
    method: of turning values into a range, one of METHODS
    """

    dataset: str = "squad"
    sample: int = 100
    seed: int = 7
    method: str = "minmax"


@dataclass(frozen=True)
class Int8Calibration:
    """Real questions, a hundred or so, and a method, one of METHODS (see `ranges.measure_activations`)."""

    questions: Sequence[Question]
    method: str = "minmax"

    @classmethod
    def of(cls, recipe: Int8Recipe) -> "Int8Calibration":
        """Read and draw the questions of a recipe. Raises InputError if its data set cannot be read."""
        return cls(sample(read_questions(recipe.dataset), recipe.sample, recipe.seed), recipe.method)


def load_int8_recipe(name_or_path: str) -> Int8Recipe:
    """Read a recipe by the name of one that ships with the project, or from a TOML file.

    Raises:
        InputError: there is none, it is not TOML, a key is unknown, a value cannot be used.

    Example:
        >>> load_int8_recipe("int8") == Int8Recipe()
        True
    """
    recipe = read_recipe(name_or_path, Int8Recipe)
    if recipe.sample < 1:
        raise InputError(f"sample must be at least 1, got {recipe.sample}.")
    return recipe
