"""From tokens to the characters of an answer: its edges stand where a reader would put them.

Tokenizers give offsets that are a little off: white space inside a token, letters that no token has, marks apart from
their letter. Answers and threshold calibration both go through here.
"""

import numpy as np
import numpy.typing as npt

from bskim_export.data.visible import HIDDEN, is_mark, visible_range
from bskim_export.runtime.windows import Window

_JOINER = "\u200d"
_SKIN_TONES = range(0x1F3FB, 0x1F400)


class Characters:
    """The characters of one context.

    Args:
        context: the text that windows were cut from

    Example:
        >>> Characters("It was Jose\u0301.").trim(6, 11)
        (7, 12)
    """

    def __init__(self, context: str):
        self._context = context
        hidden = np.zeros(len(context) + 1, np.int64)
        hidden[[match.end() for match in HIDDEN.finditer(context)]] = 1
        self._visible = np.arange(len(context) + 1) - np.cumsum(hidden)  # how many there are before each character

    def edges(self, window: Window) -> npt.NDArray[np.bool_]:
        """Return bool [S]: which positions hold a passage token that can be seen, and so may begin or end an answer."""
        offsets = window.ranges
        passage = window.is_passage
        seen: npt.NDArray[np.bool_] = passage & (self._visible[offsets[:, 1]] > self._visible[offsets[:, 0]])
        # A token of no characters stands for the letter before it, if no other token has that.
        for i in np.flatnonzero(passage & (offsets[:, 0] == offsets[:, 1])):
            start = int(offsets[i, 0])
            seen[i] = self._take_in_before(window, start) < start
        return seen

    def span(self, window: Window, first: int, last: int, align_to_words: bool) -> tuple[int, int]:
        """Return the character range [start, end) of the span between two tokens, both included.

        Args:
            first, last: tokens that `edges` allows
            align_to_words: widen the span to the whole words of its first and its last token
        """
        start, end = _token_range(window, first, last, align_to_words)
        start = self._take_in_before(window, start)
        end = self._take_in_behind(window, end)
        return self.trim(start, end)

    def trim(self, start: int, end: int) -> tuple[int, int]:
        """Return a range without white space and invisible marks at its edges, and with the marks of its last letter.

        A range that begins with a combining mark gets the letter that the mark belongs to.
        """
        text = self._context
        inner_start, inner_end = visible_range(text[start:end])
        end = start + inner_end
        start = start + inner_start
        while 0 < start < end and _belongs_to_the_one_before(text, start) and not text[start - 1].isspace():
            start -= 1
        while start < end < len(text) and _belongs_to_the_one_before(text, end):
            end += 1
        return start, end

    def _take_in_before(self, window: Window, start: int) -> int:
        """Move a start outwards over letters and digits that no token has."""
        if start == 0 or not _is_word(self._context[start - 1]):
            return start
        covered = _covered_until(window, start)
        while start > covered and _is_word(self._context[start - 1]):
            start -= 1
        return start

    def _take_in_behind(self, window: Window, end: int) -> int:
        """Move an end outwards over letters and digits that no token has."""
        if end == len(self._context) or not _is_word(self._context[end]):
            return end
        covered = _covered_from(window, end, len(self._context))
        while end < covered and _is_word(self._context[end]):
            end += 1
        return end


def _token_range(window: Window, first: int, last: int, align_to_words: bool) -> tuple[int, int]:
    begin = first - window.question_length
    finish = last - window.question_length
    words = window.words
    if align_to_words and words[begin] >= 0 and words[finish] >= 0:
        # A word's tokens stand together.
        while begin > 0 and words[begin - 1] == words[begin]:
            begin -= 1
        while finish + 1 < len(words) and words[finish + 1] == words[finish]:
            finish += 1
    return int(window.offsets[begin, 0]), int(window.offsets[finish, 1])


def _covered_until(window: Window, start: int) -> int:
    """Return the end of the last token before a character, or that character if the window does not show it."""
    ends = _passage_offsets(window)[:, 1]
    if (ends <= start).any():
        return int(ends[ends <= start].max())
    return 0 if window.is_first else start  # what is before the first token of a later window belongs to other windows


def _covered_from(window: Window, end: int, length: int) -> int:
    """Return the start of the first token from a character on, or that character if the window does not show it."""
    starts = _passage_offsets(window)[:, 0]
    if (starts >= end).any():
        return int(starts[starts >= end].min())
    return length if window.is_last else end


def _passage_offsets(window: Window) -> npt.NDArray[np.int32]:
    """Return int32 [T, 2], the characters of the passage tokens that have any."""
    found: npt.NDArray[np.int32] = window.offsets[window.offsets[:, 0] < window.offsets[:, 1]]
    return found


def _is_word(character: str) -> bool:
    return character.isalnum() or is_mark(character)


def _belongs_to_the_one_before(text: str, place: int) -> bool:
    """Return whether a character and the one before it are one to a reader."""
    character = text[place]
    return (
        is_mark(character)
        or (character == _JOINER and not text[place + 1 : place + 2].isspace())
        or ord(character) in _SKIN_TONES
        or (text[place - 1] == _JOINER and not character.isspace())
    )
