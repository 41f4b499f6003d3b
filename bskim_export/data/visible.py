"""Which characters of a text can be seen, and where its words are.

Annotators take white space and invisible marks along with an answer. White space is what `str.isspace` says it is.
Invisible are control characters, and what Unicode calls default ignorable: joiners, direction marks, soft hyphens, byte
order marks, fillers, variation selectors, tags.
"""

import re
import unicodedata

_IGNORABLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
HIDDEN = re.compile(rf"[\s\x00-\x1f\x7f-\x9f{_IGNORABLE}]")
"""One character that cannot be seen."""
_HIDDEN_RUN = re.compile(f"{HIDDEN.pattern}*")
_IGNORED = re.compile(f"[{_IGNORABLE}]")
_SELECTOR = re.compile("[\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0020-\U000e007f\U000e0100-\U000e01ef]")
"""Chooses the form of the character before it, and belongs to it: variation selectors, and the tags of flags."""
_UNSPACED = re.compile(
    "[\u0e00-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u2e80-\u30ff\u31f0-\u4dbf\u4e00-\u9fff\ua9e0-\ua9ff"
    "\uaa60-\uaadf\uf900-\ufaff\uff66-\uff9f\U00016fe0-\U0003ffff]"
)
"""Scripts that put no space between words: Thai, Lao, Tibetan, Burmese, Khmer and their like, kana, Chinese."""


def visible_range(text: str) -> tuple[int, int]:
    """Return the range [start, end) of a text without the white space and invisible marks at its edges.

    A variation selector stays with its character. A text that cannot be seen has the range (0, 0).

    Example:
        >>> visible_range(" Mira\u200c\\n"), visible_range("\u2764\ufe0f "), visible_range("\u200b ")
        ((1, 5), (0, 2), (0, 0))
    """
    start = _end_of_hidden(text)
    end = len(text)
    if start == end:
        return 0, 0
    while HIDDEN.match(text, end - 1):
        end -= 1
    while _SELECTOR.match(text, end):
        end += 1
    return start, end


def is_blank(text: str) -> bool:
    """Return whether nothing of a text can be seen."""
    return _end_of_hidden(text) == len(text)


def stands_alone(text: str, start: int, end: int) -> bool:
    """Return whether the range [start, end) of a text neither begins nor ends inside a word.

    Letters, digits and combining marks make words, and invisible marks between them part nothing. In scripts without
    spaces, every letter may begin and end a word.

    Example:
        >>> stands_alone("In 2011, 11", 5, 7), stands_alone("In 2011, 11", 9, 11), stands_alone("在11年", 1, 3)
        (False, True, True)
    """
    return not _inside_word(text, start) and not _inside_word(text, end)


def _end_of_hidden(text: str) -> int:
    run = _HIDDEN_RUN.match(text)
    return run.end() if run else 0


def _inside_word(text: str, place: int) -> bool:
    before = place - 1
    while before >= 0 and _IGNORED.match(text, before):
        before -= 1
    behind = place
    while behind < len(text) and _IGNORED.match(text, behind):
        behind += 1
    if before < 0 or behind == len(text):
        return False
    # In every script, a mark belongs to the character before it.
    return is_mark(text[behind]) or (_makes_words(text[before]) and _makes_words(text[behind]))


def _makes_words(character: str) -> bool:
    return (character.isalnum() or character == "_" or is_mark(character)) and not _UNSPACED.match(character)


def is_mark(character: str) -> bool:
    """Return whether a character is a combining mark, which belongs to the one before it."""
    return unicodedata.category(character)[0] == "M"
