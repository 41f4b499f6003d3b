"""Which characters of a context were skimmed, and when."""

from collections.abc import Sequence

import numpy as np

from bskim_export.runtime.orchestrator import KEPT, WindowResult
from bskim_export.runtime.windows import Window


def skipped_ranges(windows: Sequence[Window], results: Sequence[WindowResult], block_size: int) -> list[dict]:
    """Return the dropped character ranges of a context, in order.

    A token that several windows hold counts as dropped when the last of them drops it. White space between two tokens
    dropped after the same layer belongs to the range.

    Returns:
        [{"start", "end", "layer"}], where the characters [start, end) took no part after `layer`.
    """
    dropped: dict[tuple[int, int], int] = {}
    for window, result in zip(windows, results, strict=True):
        layers = np.repeat(result.dropped_after, block_size)
        for i, (sequence, span) in enumerate(zip(window.encoding.sequence_ids, window.encoding.offsets, strict=True)):
            if sequence == 1:
                dropped[span] = max(dropped.get(span, -1), int(layers[i]))
    ranges: list[dict] = []
    previous = KEPT
    for (start, end), layer in sorted(dropped.items()):
        if layer != KEPT and layer == previous:
            ranges[-1]["end"] = end
        elif layer != KEPT:
            ranges.append({"start": start, "end": end, "layer": layer})
        previous = layer
    return ranges
