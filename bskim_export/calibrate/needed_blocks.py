"""Which blocks a question needs: those that hold a gold answer.

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

from bskim_export.data.question import Question
from bskim_export.runtime.windows import Window


def occurrences(question: Question, windows: Sequence[Window], block_size: int) -> list[tuple[int, int, int]]:
    """Return (window, first block, last block) of every gold answer in every window that holds all of it, no two
    the same."""
    found = set()
    for w, window in enumerate(windows):
        passage = np.flatnonzero(window.is_passage)
        offsets = np.array(window.encoding.offsets)[passage]
        for text, start in zip(question.answers, question.starts, strict=True):
            end = start + len(text)
            inside = passage[(offsets[:, 0] < end) & (offsets[:, 1] > start)]
            cut_before = w > 0 and offsets[0, 0] > start
            cut_behind = w < len(windows) - 1 and offsets[-1, 1] < end
            if len(inside) and not cut_before and not cut_behind:
                found.add((w, int(inside[0]) // block_size, int(inside[-1]) // block_size))
    return sorted(found)


def lost(occurrence_question: np.ndarray, whole: np.ndarray, questions: int) -> np.ndarray:
    """Return bool [questions]: which have occurrences, but none that is whole.

    Args:
        occurrence_question: int [O], the question of each occurrence
        whole: bool [O], whether all its blocks were kept

    Example:
        >>> lost(np.array([0, 0, 1, 1]), np.array([False, True, False, False]), 3).tolist()
        [False, True, False]
    """
    needs = np.bincount(occurrence_question, minlength=questions) > 0
    return needs & (np.bincount(occurrence_question[whole], minlength=questions) == 0)
