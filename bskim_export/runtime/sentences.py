"""Sentences of a text, as character ranges. `sentencex` cuts them: it knows the abbreviations of many languages."""

from bskim_export.errors import missing_extra
from bskim_export.runtime.windows import replace_surrogates

LANGUAGE = "en"
"""Whose abbreviations are known. Sentence ends of other scripts are recognised all the same."""


def sentence_ranges(text: str, language: str = LANGUAGE) -> list[tuple[int, int]]:
    """Return the ranges [start, end) of the sentences of a text, in order, white space at their edges left out.

    A sentence ends neither inside a number nor inside a word.

    Args:
        language: an ISO 639-1 code; abbreviations are its own

    Raises:
        MissingExtraError: `sentencex` is not installed.

    Example:
        >>> text = "Dr. Ada paid $3.50. Who did not?"
        >>> [text[start:end] for start, end in sentence_ranges(text)]
        ['Dr. Ada paid $3.50.', 'Who did not?']
    """
    try:
        import sentencex
    except ImportError:
        raise missing_extra("sentencex", "highlight", "Cutting text into sentences") from None
    clean = replace_surrogates(text)
    # What it returns are pieces of the text, some white space left out: each begins where it is found next.
    cuts = [0]
    place = 0
    for piece in sentencex.segment(language, clean):
        found = clean.find(piece, place)
        if found < 0:
            continue
        if found > cuts[-1] and _is_boundary(clean, found):
            cuts.append(found)
        place = found + len(piece)
        if place > cuts[-1] and _is_boundary(clean, place):
            cuts.append(place)
    ranges = []
    for start, end in zip(cuts, [*cuts[1:], len(clean)], strict=True):
        piece = clean[start:end]
        inner_start = start + len(piece) - len(piece.lstrip())
        inner_end = end - len(piece) + len(piece.rstrip())
        if inner_start < inner_end:
            ranges.append((inner_start, inner_end))
    return ranges


def _is_boundary(text: str, place: int) -> bool:
    """Return whether a sentence may end before a character: not between two of one number or word."""
    before = text[place - 1 : place]
    after = text[place : place + 1]
    if before.isalnum() and after.isalnum():
        return not (before.isascii() and after.isascii())
    return not (before in (".", ",") and after.isdigit() and text[place - 2 : place - 1].isdigit())
