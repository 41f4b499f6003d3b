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
        self.take(number, window.offsets, np.repeat(result.dropped_after, self._size)[window.passage])

    def take(self, number: int, offsets: npt.NDArray[np.int32], layers: npt.NDArray[np.int16]) -> None:
        """Take in some tokens, by the number of their window.

        Args:
            offsets: int32 [T, 2], their characters
            layers: int16 [T], the layer after which each was dropped, `blocks.KEPT` if it never was
        """
        self._windows[number] = (offsets, layers)

    def ranges(self, hidden: int = 0) -> list[Skipped]:
        """Return the dropped character ranges, which do not overlap, in the order of the context.

        Args:
            hidden: characters before the text, as a title: offsets count from behind them

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
        shown = [one for one in ranges if one["end"] > hidden]
        return [
            {"start": max(one["start"] - hidden, 0), "end": one["end"] - hidden, "layer": one["layer"]} for one in shown
        ]
