"""Find the place of an answer in its context. All readers share these rules.

Wrong offsets are common: contexts are truncated or tokenised again, and some files write 0 or -1 for "unknown". They
are also silent: a model learns a span with another text. So every offset is checked. If an answer is not at its offset,
it moves to the nearest place where its text stands, whole words first. An answer that stands nowhere can be neither
learned nor found. A question that has only such answers is dropped. Each of these cases is counted.

Annotators also select white space and invisible marks beside an answer. A span leaves them out, because a tokenizer
does: no token would begin or end there. What a prediction is scored against stays as the file has it.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import islice

from bskim_export.data.notes import Notes
from bskim_export.data.question import Question
from bskim_export.data.visible import is_blank, stands_alone, visible_range
from bskim_export.errors import InputError

BLANK = "Questions dropped, question or context is blank"
NOWHERE = "Questions dropped, no answer stands in the context"
MOVED = "Answers moved to the nearest place where their text stands"
TIDIED = "Answers with white space or invisible marks at an edge, which their spans leave out"
UNPLACED = "Questions with an answer that stands nowhere in the context, kept for scoring only"

LOOKED_AT = 1000
"""Places of a text that are tried for a whole word, the nearest ones."""


def find_near(text: str, context: str, start: int) -> tuple[int, int] | None:
    """Return the character range [start, end) of an occurrence of `text` in `context`, or None if there is none.

    The occurrence at `start` comes first, even if its case differs, and even inside a word. Next come occurrences that
    are whole words, last those inside a word. Of either, the nearest verbatim one comes before the nearest in another
    case.

    Example:
        >>> find_near("ada", "Ada met ada.", 0), find_near("ada", "Ada met ada.", 7), find_near("Bob", "Ada", 0)
        ((0, 3), (8, 11), None)
        >>> find_near("11", "In 2011, 11 men", -1), find_near("11", "In 2011", -1)
        ((9, 11), (5, 7))
    """
    if not text:
        return None
    length = len(text)
    folded = fold(text)
    if start >= 0 and fold(context[start : start + length]) == folded:
        return start, start + length
    inside: int | None = None
    for wanted, where in ((text, context), (folded, _folded_context(context))):
        for place in islice(_nearest(wanted, where, start), LOOKED_AT):
            if stands_alone(context, place, place + length):
                return place, place + length
            if inside is None:
                inside = place
    return None if inside is None else (inside, inside + length)


def place_answers(draft: Question, place: str, notes: Notes) -> Question | None:
    """Return the question with every answer at its right offset, or None if the question is dropped.

    Args:
        draft: the question as the file has it; `answers` and `starts` may be wrong
        place: the question's position in the file, for notes and errors
        notes: counts moved and tidied answers, answers without a place and dropped questions

    Raises:
        InputError: an answer is blank.
    """
    if is_blank(draft.question) or is_blank(draft.context):
        notes.add(BLANK, place)
        return None
    # Find the span of each answer's visible part. Answers that stand nowhere have none.
    spans = []
    known: dict[tuple[str, int], tuple[int, int] | None] = {}  # some files repeat an answer thousands of times
    for answer, start in zip(draft.answers, draft.starts, strict=True):
        if is_blank(answer):
            raise InputError(f"{place}: an answer is blank. A question that has no answer has an empty list of them.")
        begin, end = visible_range(answer)
        wanted = (answer[begin:end], start + begin)
        if wanted not in known:
            known[wanted] = find_near(wanted[0], draft.context, wanted[1])
        span = known[wanted]
        if span is None:
            continue
        if span[0] != start + begin:
            notes.add(MOVED, place)
        if (begin, end) != (0, len(answer)):
            notes.add(TIDIED, place)
        spans.append(span)
    # A question that has gold answers, but no span, has nothing to learn or to find.
    if draft.gold and not spans:
        notes.add(NOWHERE, place)
        return None
    if len(spans) < len(draft.answers):
        notes.add(UNPLACED, place)
    # The spans take the context's wording. If that differs from the file's, the file's stays the gold.
    answers = tuple(draft.context[start:end] for start, end in spans)
    return replace(
        draft,
        answers=answers,
        starts=tuple(start for start, _ in spans),
        accepted=draft.gold if draft.gold != answers else (),
    )


def fold(text: str) -> str:
    """Return a text without its case, character for character, so that offsets stay.

    Example:
        >>> fold("Straße in İstanbul")
        'straße in İstanbul'
    """
    folded = text.casefold()
    if len(folded) != len(text):
        # Some characters have a long form, as ß has ss. They keep their own.
        folded = "".join(c if len(short := c.casefold()) != 1 else short for c in text)
    return folded


@lru_cache(maxsize=1)
def _folded_context(context: str) -> str:
    # A context has many questions, one behind the other.
    return fold(context)


def _nearest(text: str, context: str, start: int) -> Iterator[int]:
    """Yield where a text stands in a context, the nearest place first; of two that are as near, the earlier."""
    origin = min(max(start, 0), len(context))
    ahead = context.find(text, origin)
    behind = context.rfind(text, 0, origin + len(text) - 1)
    while ahead >= 0 or behind >= 0:
        if behind >= 0 and (ahead < 0 or start - behind <= ahead - start):
            yield behind
            behind = context.rfind(text, 0, behind + len(text) - 1)
        else:
            yield ahead
            ahead = context.find(text, ahead + 1)
