"""The questions of a threshold calibration: how they are drawn, and whether they are enough."""

import random
from collections.abc import Sequence

from bskim_export.calibrate.recipes import Recipe
from bskim_export.data.question import Question
from bskim_export.errors import InputError

LEAST = 20
"""Questions to calibrate on, at least: of fewer, even without a loss, more than one in seven might be lost in truth."""


def draw(questions: Sequence[Question], recipe: Recipe) -> tuple[list[Question], list[Question]]:
    """Return the questions to calibrate thresholds on, and held-out ones, drawn at random without replacement.

    A data set that is smaller than both together holds out a quarter at most.
    """
    total = min(len(questions), recipe.sample + recipe.held_out)
    held_out = recipe.held_out if total == recipe.sample + recipe.held_out else min(recipe.held_out, total // 4)
    drawn = random.Random(recipe.seed).sample(list(questions), total)
    cut = min(recipe.sample, total - held_out)
    return drawn[:cut], drawn[cut : cut + held_out]


def check_counts(available: int, calibration: int, held_out: int, recipe: Recipe) -> list[str]:
    """Return what should be said about the number of questions.

    Raises:
        InputError: there are too few for thresholds that mean anything.

    Example:
        >>> check_counts(53, 40, 13, Recipe(max_f1_drop=0.2))[0]
        'The data set has 53 questions with an answer where 1,500 were asked for: 40 to calibrate on and 13 held out.'
    """
    if calibration < LEAST:
        raise InputError(
            f"{calibration} questions are too few to calibrate on: without a single loss among them, "
            f"{min(1, 3 / max(1, calibration)):.0%} of other questions might be lost. Pass {LEAST} with an answer at "
            "the very least; 1,000 are usual."
        )
    warnings = []
    asked = recipe.sample + recipe.held_out
    if available < asked:
        warnings.append(
            f"The data set has {available:,} questions with an answer where {asked:,} were asked for: {calibration:,} "
            f"to calibrate on and {held_out:,} held out."
        )
    budget = recipe.max_f1_drop
    if budget is not None and budget < 100 / calibration:
        warnings.append(
            f"{calibration:,} questions cannot show a drop of {budget:g} points: one question more or less that is "
            f"lost makes {100 / calibration:.2g}. Expect the drop elsewhere to be within about {300 / calibration:.2g}."
        )
    return warnings
