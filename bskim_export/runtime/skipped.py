"""Which characters of a context were skimmed, and when."""

from typing import NotRequired, TypedDict

import numpy as np
import numpy.typing as npt

from bskim_export.blocks import KEPT
from bskim_export.runtime.runner import WindowResult
from bskim_export.runtime.windows import Window


class Skipped(TypedDict):
    """A range of characters [start, end) of a context, or of a passage, that took no part after a layer."""

    start: int
    end: int
    layer: int
    passage: NotRequired[int]


class SkippedTokens:
    """The dropped tokens of one context.

    Args:
        block_size: positions of a block
    """

    def __init__(self, block_size: int):
        self._size = block_size
        self._windows: dict[int, tuple[npt.NDArray[np.int32], npt.NDArray[np.int16]]] = {}

    def note(self, number: int, window: Window, result: WindowResult) -> None:
        """Take in a window, by its number. A later result takes the place of an earlier one."""
        layers = np.repeat(result.dropped_after, self._size)[window.passage]
        self._windows[number] = (window.offsets, layers)

    def ranges(self) -> list[Skipped]:
        """Return the dropped character ranges, which do not overlap, in the order of the context.

        A token that several windows hold counts as dropped when the last of them drops it. White space between two
        tokens dropped after the same layer belongs to the range.
        """
        # Of each token, by its place in the context, the layer after which the last window dropped it.
        dropped: dict[tuple[int, int], int] = {}
        for offsets, layers in self._windows.values():
            for (start, end), layer in zip(offsets.tolist(), layers.tolist(), strict=True):
                dropped[start, end] = max(dropped.get((start, end), layer), layer)
        # Neighbours that were dropped after the same layer join one range.
        ranges: list[Skipped] = []
        previous = KEPT
        for (start, end), layer in sorted(dropped.items()):
            if layer != KEPT and layer == previous:
                ranges[-1]["end"] = end
            elif layer != KEPT:
                ranges.append({"start": start, "end": end, "layer": layer})
            previous = layer
        return ranges
