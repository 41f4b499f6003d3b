"""Which characters of a context were skimmed, and when."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from bskim_export.blocks import KEPT
from bskim_export.runtime.runner import WindowResult
from bskim_export.runtime.windows import Window


class Skipped(TypedDict):
    """A range of characters [start, end) of a context that took no part after a layer."""

    start: int
    end: int
    layer: int


def skipped_ranges(windows: Sequence[Window], results: Sequence[WindowResult], block_size: int) -> list[Skipped]:
    """Return the dropped character ranges of a context, in order.

    A token that several windows hold counts as dropped when the last of them drops it. White space between two tokens
    dropped after the same layer belongs to the range.

    Returns:
        ranges that do not overlap, in the order of the context.
    """
    # Of each token, by its place in the context, the layer after which the last window dropped it.
    dropped: dict[tuple[int, int], int] = {}
    for window, result in zip(windows, results, strict=True):
        layers = np.repeat(result.dropped_after, block_size)
        for i, (sequence, span) in enumerate(zip(window.encoding.sequence_ids, window.encoding.offsets, strict=True)):
            if sequence == 1:
                layer = int(layers[i])
                dropped[span] = max(dropped.get(span, layer), layer)
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
