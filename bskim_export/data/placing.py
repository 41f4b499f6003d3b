"""Find the place of an answer in its context. All readers share these rules.

Wrong offsets are common: contexts are truncated or tokenised again, and some files write 0 for "unknown". They are also
silent: a model learns a span with another text. So every offset is checked. If an answer is not at its offset, it moves
to the nearest place where its text stands, case ignored. An answer that stands nowhere can be neither learned nor
found. A question that has only such answers is dropped. Each of these cases is counted.
"""

import re
from dataclasses import replace

from bskim_export.data.notes import Notes
from bskim_export.data.question import Question
from bskim_export.errors import InputError

BLANK = "Questions dropped, question or context is blank"
NOWHERE = "Questions dropped, no answer stands in the context"
MOVED = "Answers moved to the nearest place where their text stands"
UNPLACED = "Questions with an answer that stands nowhere in the context, kept for scoring only"


def find_near(text: str, context: str, start: int) -> tuple[int, int] | None:
    """Return the character range [start, end) of an occurrence of `text` in `context`, or None if there is none.

    The occurrence at `start` comes first, even if its case differs. Next comes the nearest verbatim one, and last the
    nearest one in another case.

    Example:
        >>> find_near("ada", "Ada met ada.", 0), find_near("ada", "Ada met ada.", 7), find_near("Bob", "Ada", 0)
        ((0, 3), (8, 11), None)
    """
    end = start + len(text)
    if start >= 0 and context[start:end].lower() == text.lower():
        return start, end
    found = (m.span() for m in re.finditer(re.escape(text), context, re.IGNORECASE))
    return min(found, key=lambda s: (context[s[0] : s[1]] != text, abs(s[0] - start)), default=None)


def place_answers(draft: Question, place: str, notes: Notes) -> Question | None:
    """Return the question with every answer at its right offset, or None if the question is dropped.

    Args:
        draft: the question as the file has it; `answers` and `starts` may be wrong
        place: the question's position in the file, for notes and errors
        notes: counts moved answers, answers without a place and dropped questions

    Raises:
        InputError: an answer is blank.
    """
    if not draft.question.strip() or not draft.context.strip():
        notes.add(BLANK, place)
        return None
    # Find each answer's span. Answers that stand nowhere have none.
    spans = []
    for answer, start in zip(draft.answers, draft.starts, strict=True):
        if not answer.strip():
            raise InputError(f"{place}: an answer is blank. A question that has no answer has an empty list of them.")
        span = find_near(answer, draft.context, start)
        if span is None:
            continue
        if span[0] != start:
            notes.add(MOVED, place)
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
