"""Which blocks of prepared documents a question reads: one product with their features, and the best with their
neighbours."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

CHUNK = 2048
"""Blocks that are scored together: their scores for one part stay in a core's cache."""


def score_blocks(queries: npt.NDArray[np.float32], features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the score of every block for a question, float32 [N]: exactly `model.retrieval.match`.

    Args:
        queries: float32 [T, F], of the question's tokens, each times its weight
        features: float32 [N, parts, F]

    Example:
        >>> features = np.zeros((2, 2, 2), np.float32)
        >>> features[0, 1] = 1, 0
        >>> score_blocks(np.array([[3, 0], [1, 0]], np.float32), features).tolist()
        [4.0, 0.0]
    """
    wanted = np.ascontiguousarray(queries.T)
    scores = np.empty(len(features), np.float32)
    for begin in range(0, len(features), CHUNK):
        part = features[begin : begin + CHUNK]
        best = part[:, 0] @ wanted
        for i in range(1, part.shape[1]):
            np.maximum(best, part[:, i] @ wanted, out=best)
        scores[begin : begin + CHUNK] = best.sum(1)
    return scores


def choose_blocks(scores: npt.NDArray[np.float32], passage: npt.NDArray[np.int64], budget: int) -> npt.NDArray[np.intp]:
    """Return the blocks that are read, in order: the best, each with the blocks beside it in its passage.

    Best first. One that with its neighbours would make more than `budget` blocks is passed over; but the best of all is
    read in any case.

    Args:
        scores: float32 [N]; of equal ones the first counts as better
        passage: int64 [N], the passage of each block, numbered in order
        budget: blocks that are read at most

    Example:
        >>> choose_blocks(np.array([0, 3, 0, 0, 0, 9]), np.array([0, 0, 0, 0, 1, 1]), 5).tolist()
        [0, 1, 2, 4, 5]
    """
    if budget >= len(scores):
        return np.arange(len(scores))
    limit = np.partition(scores, len(scores) - budget)[len(scores) - budget]  # of a collection hardly any is wanted
    best = np.flatnonzero(scores >= limit)
    chosen: set[int] = set()
    for block in best[np.argsort(-scores[best], kind="stable")][:budget].tolist():
        beside = [n for n in (block - 1, block + 1) if 0 <= n < len(passage) and passage[n] == passage[block]]
        more = chosen | {block, *beside}
        if len(more) <= budget or not chosen:
            chosen = more
    return np.array(sorted(chosen), np.intp)


def runs(chosen: Sequence[int] | npt.NDArray[np.intp], passage: npt.NDArray[np.int64]) -> list[range]:
    """Return the chosen blocks as ranges without gaps, each of one passage.

    Example:
        >>> runs([0, 1, 2, 3, 6], np.array([0, 0, 0, 1, 1, 1, 1]))
        [range(0, 3), range(3, 4), range(6, 7)]
    """
    found: list[range] = []
    for block in map(int, chosen):
        if found and found[-1].stop == block and passage[block - 1] == passage[block]:
            found[-1] = range(found[-1].start, block + 1)
        else:
            found.append(range(block, block + 1))
    return found
