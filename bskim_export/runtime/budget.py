"""A bound on the work that a question may cost, however long its document is: `max_blocks`.

All windows run to the first predictor and leave there. Of all blocks of the document, the best-scored go on: their
windows run once more, and at that predictor lose all others. So a question costs the first layers of each window, which
is what a window without anything costs anyway, and after them no more than `max_blocks` passage blocks and the question
blocks beside them. What is chosen depends on the question's own windows alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bskim_export.runtime.policy import Judged, Policy
from bskim_export.runtime.windows import Window

Chosen = npt.NDArray[np.bool_]
"""bool [K]: the blocks of a window that may go on."""


@dataclass(frozen=True, eq=False)
class Again:
    """A window that runs once more.

    number: among the windows of its question
    protected: a block that must stay, or None
    chosen: the blocks that may go on; None for all
    """

    number: int
    window: Window
    protected: int | None
    chosen: Chosen | None = None


class Scout(Policy):
    """The policy of the first run: nothing goes beyond the first predictor.

    Args:
        layer: that predictor's
    """

    def __init__(self, layer: int):
        self._layer = layer

    def scores(self, layer: int) -> bool:
        """Return whether this is the layer."""
        return layer == self._layer

    def allowed(self, layer: int, judged: Judged) -> Judged:
        """Return False for every block; see `Policy.allowed`."""
        return np.zeros_like(judged)


class Limited(Policy):
    """The policy of the second run: at the first predictor only chosen blocks stay, if another policy keeps them too.

    Args:
        policy: decides at all layers
        layer: the first that it scores
        chosen: of each window of the batch, the blocks that may stay
    """

    def __init__(self, policy: Policy, layer: int, chosen: Sequence[Chosen]):
        self._policy = policy
        self._layer = layer
        self._chosen = chosen

    def scores(self, layer: int) -> bool:
        """Return whether the other policy scores this layer."""
        return self._policy.scores(layer)

    def threshold(self, layer: int) -> float:
        """Return the other policy's threshold."""
        return self._policy.threshold(layer)

    def allowed(self, layer: int, judged: Judged) -> Judged | None:
        """Return which blocks may stay; see `Policy.allowed`."""
        others = self._policy.allowed(layer, judged)
        if layer != self._layer:
            return others
        own = np.zeros_like(judged)
        for row, blocks in zip(own, self._chosen, strict=True):
            row[: len(blocks)] = blocks
        return own if others is None else own & others


def choose_blocks(
    judged: Mapping[int, tuple[int, npt.NDArray[np.float32]]], max_blocks: int
) -> tuple[dict[int, Chosen], tuple[int, int] | None]:
    """Return the windows of a question that go on, with their chosen blocks, and the window and number of the best one;
    None if nothing is judged.

    Args:
        judged: of each window, by its number: how many blocks no predictor judges, and float32 [K], the keep
            probabilities of all
        max_blocks: how many blocks are chosen; of equal ones, those that come first

    Example:
        >>> some = {0: (1, np.array([1, 0.2, 0.1], np.float32)), 1: (1, np.array([1, 0.5], np.float32))}
        >>> chosen, best = choose_blocks(some, 2)
        >>> {window: blocks.tolist() for window, blocks in chosen.items()}, best
        ({0: [False, True, False], 1: [False, True]}, (1, 1))
    """
    windows = np.concatenate([np.full(len(p) - first, w) for w, (first, p) in judged.items()])
    blocks = np.concatenate([np.arange(first, len(p)) for first, p in judged.values()])
    probability = np.concatenate([p[first:] for first, p in judged.values()])
    order = np.lexsort((blocks, windows, -probability))[:max_blocks]
    if not len(order):
        return {}, None
    chosen: dict[int, Chosen] = {}
    for window, block in sorted(zip(windows[order].tolist(), blocks[order].tolist(), strict=True)):
        chosen.setdefault(window, np.zeros(len(judged[window][1]), bool))[block] = True
    return chosen, (int(windows[order[0]]), int(blocks[order[0]]))
