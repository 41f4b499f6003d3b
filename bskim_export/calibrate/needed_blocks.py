"""The blocks that a question needs: those that hold a gold answer.

An *occurrence* is one gold answer in one window that holds all of it; its blocks are those with any of its tokens. A
question has one occurrence for each gold answer and each such window. It **needs** one of them whole: it is **lost**
when skimming has dropped a block of every occurrence. Losing one of two overlapping windows, or one of three
annotators' spans, is no loss, since the answer can still be given.

Whether the dense model would have found the answer does not matter here. This makes the loss a property of the
predictors alone, and a bound on it the stronger promise: it also bounds the share of questions that the dense model
answers from a block that skimming drops. A question whose answer is in no window as a whole (none is given, or it is
longer than a window's overlap) needs nothing, cannot be lost, and is left out when risk is estimated.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bskim_export.data.question import Question
from bskim_export.runtime.token_ranges import answer_tokens, holders, token_ranges
from bskim_export.runtime.windows import Window


def occurrences(question: Question, windows: Sequence[Window], block_size: int) -> list[tuple[int, int, int]]:
    """Return (window, first block, last block) of every gold answer in every window that holds all of it, no two
    the same."""
    ranges = token_ranges(windows, question.context)
    found: set[tuple[int, int, int]] = set()
    for text, start in zip(question.answers, question.starts, strict=True):
        inside = answer_tokens(ranges, start, text)
        for w in holders(inside, ranges):
            found.add((w, int(inside[w][0]) // block_size, int(inside[w][-1]) // block_size))
    return sorted(found)


def lost(
    occurrence_question: npt.NDArray[np.int64], whole: npt.NDArray[np.bool_], questions: int
) -> npt.NDArray[np.bool_]:
    """Return bool [questions]: which have occurrences, but none that is whole.

    Args:
        occurrence_question: int64 [O], the question of each occurrence
        whole: bool [O], whether all its blocks were kept

    Example:
        >>> lost(np.array([0, 0, 1, 1]), np.array([False, True, False, False]), 3).tolist()
        [False, True, False]
    """
    needing: npt.NDArray[np.bool_] = np.bincount(occurrence_question, minlength=questions) > 0
    answerable: npt.NDArray[np.bool_] = np.bincount(occurrence_question[whole], minlength=questions) > 0
    return needing & ~answerable
