"""Which characters of the context each token stands for, those included that the tokenizer's offsets leave out; and
which windows hold an answer. Labels of training and the needed blocks of threshold calibration are both found here.
"""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bskim_export.data.visible import HIDDEN, is_blank, visible_range
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
    ranges = [window.ranges for window in windows]
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


def answer_tokens(ranges: Sequence[npt.NDArray[np.int64]], start: int, text: str) -> list[npt.NDArray[np.intp]]:
    """Return the positions of an answer's tokens, of each window: those that overlap what can be seen of it.

    Args:
        ranges: see `token_ranges`
        start: where the answer's text begins in the context
    """
    first, last = visible_range(text)
    return [overlapping(own, start + first, start + last) for own in ranges]


def overlapping(ranges: npt.NDArray[np.int64], begin: int, finish: int) -> npt.NDArray[np.intp]:
    """Return the positions whose characters overlap [begin, finish). A token without characters overlaps nothing."""
    ends = np.where(ranges[:, 0] < ranges[:, 1], ranges[:, 1], 0)
    return np.flatnonzero((ranges[:, 0] < finish) & (ends > begin))


def holders(inside: Sequence[npt.NDArray[np.intp]], ranges: Sequence[npt.NDArray[np.int64]]) -> list[int]:
    """Return the windows that hold an answer as a whole: all the tokens of it that any window has.

    Characters would be the wrong thing to ask for. Some are in no token: accents, marks and white space that the
    tokenizer takes off.

    Args:
        inside: of each window, the positions of the answer's tokens
        ranges: of each window, see `token_ranges`
    """
    # Of each window that has any: how many tokens, their first and their last character. Several tokens of one
    # character, as byte-level tokenizers have them, share its range, so that they are counted too.
    held = {
        w: (len(tokens), -ranges[w][tokens, 0].min(), ranges[w][tokens, 1].max())
        for w, tokens in enumerate(inside)
        if len(tokens)
    }
    whole = tuple(max(parts) for parts in zip(*held.values(), strict=True))
    return [w for w, parts in held.items() if parts == whole]


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
