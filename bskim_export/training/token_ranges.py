"""Which characters of the context each token stands for, those included that the tokenizer's offsets leave out."""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bskim_export.data.visible import HIDDEN, is_blank
from bskim_export.runtime.windows import Window


def token_ranges(windows: Sequence[Window], context: str) -> list[npt.NDArray[np.int64]]:
    """Return the character ranges of all positions, of each window: int64 [K * block_size, 2].

    Positions that are no passage have the range (0, 0). With some tokenizers, visible characters are in no token's
    offsets: the first letter of every word, say. They go to the token that begins behind them; if no window has
    one, to the one that ends before them.

    Args:
        windows: all of one question's
        context: theirs
    """
    ranges = []
    for window in windows:
        own = np.zeros((len(window.input_ids), 2), np.int64)
        own[: window.length] = window.encoding.offsets
        ranges.append(np.where(window.is_passage[:, None], own, 0))
    for begin, finish in _uncovered(ranges, context):
        behind = [np.flatnonzero(w.is_passage & (own[:, 0] == finish)) for own, w in zip(ranges, windows, strict=True)]
        # A window that ends just before that token must not give its letter to another one.
        to_next = any(len(tokens) for tokens in behind)
        for own, window, following in zip(ranges, windows, behind, strict=True):
            before = np.flatnonzero(window.is_passage & (own[:, 1] == begin))
            if len(following):
                own[following[0], 0] = begin
            elif len(before) and not to_next:
                own[before[-1], 1] = finish
    return ranges


def _uncovered(ranges: Sequence[npt.NDArray[np.int64]], context: str) -> list[tuple[int, int]]:
    """Return the runs [start, end) of visible characters that no token of any window covers."""
    # Count where ranges begin and end; a character is covered where more have begun than ended.
    steps = np.zeros(len(context) + 1, np.int64)
    for own in ranges:
        np.add.at(steps, own[:, 0], 1)
        np.add.at(steps, own[:, 1], -1)
    covered = np.cumsum(steps[:-1]) > 0
    # As a rule, white space is all that is left.
    if is_blank("".join(context[i] for i in np.flatnonzero(~covered))):
        return []
    rest = "".join(" " if c else HIDDEN.sub(" ", character) for c, character in zip(covered, context, strict=True))
    return [run.span() for run in re.finditer(r"\S+", rest)]
