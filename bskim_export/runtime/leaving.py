"""When a window leaves the batch, and which window of a question is run once more. NumPy only.

The orchestrator, the PyTorch reference and the simulation of calibration all decide by these two functions.
"""

from typing import Any

import numpy as np
import numpy.typing as npt


def leaves(
    may_leave: npt.NDArray[np.bool_], judged_blocks: npt.NDArray[Any], remaining: npt.NDArray[Any]
) -> npt.NDArray[np.bool_]:
    """Return which windows leave the batch: those that may, and in which every block that is judged was refused.

    Args:
        may_leave: bool [..., W], `Window.may_leave`, and no block of the window is protected
        judged_blocks: int [W], blocks that each window began with and that predictors judge: passage blocks that are
            not protected, and the one that is shared with the question if `Window.judge_shared`
        remaining: int [..., W], how many of them are left, the shared one if this layer did not refuse it

    Returns:
        bool [..., W]

    Example:
        >>> leaves(np.array([True, True, True, False]), np.array([2, 2, 0, 2]), np.array([0, 1, 0, 0])).tolist()
        [True, False, False, False]
    """
    left: npt.NDArray[np.bool_] = may_leave & (judged_blocks > 0) & (remaining == 0)
    return left


def most_promising(
    question: npt.NDArray[np.int64],
    left: npt.NDArray[np.bool_],
    left_after: npt.NDArray[Any],
    best_score: npt.NDArray[Any],
) -> npt.NDArray[np.int64]:
    """Return the window that is run once more of each question whose windows have all left.

    That is the window that stayed longest; of several, the one that was surest of a block when it left; of several
    still, the first.

    Args:
        question: int64 [W], non-decreasing, the question of each window
        left: bool [W]
        left_after: int [W], the layer or step after which a window left; ignored where it stayed
        best_score: float [W], the highest keep probability of its blocks then; ignored where it stayed

    Returns:
        int64 [n], numbers of windows, ascending

    Example:
        >>> questions, left = np.array([0, 0, 0, 1, 1]), np.array([True, True, True, True, False])
        >>> most_promising(questions, left, np.array([1, 4, 4, 2, 0]), np.array([0.9, 0.1, 0.2, 0.3, 0])).tolist()
        [2]
    """
    if not len(question):
        return np.zeros(0, np.int64)
    # Number the questions 0, 1, ... and keep the windows of those that have no window left.
    _, place = np.unique(question, return_inverse=True)
    gone = np.bincount(place, weights=~left) == 0
    window = np.flatnonzero(gone[place])
    # The best of each question comes first: latest step, then highest score, then lowest number (lexsort is stable).
    order = np.lexsort((-best_score[window], -left_after[window], place[window]))
    first = np.unique(place[window][order], return_index=True)[1]
    chosen: npt.NDArray[np.int64] = window[order[first]]
    return chosen
