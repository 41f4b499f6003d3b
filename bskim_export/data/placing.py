"""Where an answer stands in its context: the rules that all readers share.

A wrong offset is common (truncated or re-tokenised contexts, offsets of 0 for "unknown"), and silent: a model learns a
span that says something else. So every offset is checked. An answer that does not stand where the file says is moved
to the nearest place where its text does stand, case ignored, and counted; one that stands nowhere can be neither
learned nor found, and a question that has only such answers is dropped, and counted.
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
    """Return the range [start, end) at which `text` stands in `context`, or None.

    At `start` if it does stand there, be it in another case; otherwise the nearest verbatim occurrence, otherwise the
    nearest in another case.

    Example:
        >>> find_near("ada", "Ada met ada.", 0), find_near("ada", "Ada met ada.", 7), find_near("Bob", "Ada", 0)
        ((0, 3), (8, 11), None)
    """
    end = start + len(text)
    if start >= 0 and context[start:end].lower() == text.lower():
        return start, end
    found = (m.span() for m in re.finditer(re.escape(text), context, re.IGNORECASE))
    return min(found, key=lambda s: (context[s[0] : s[1]] != text, abs(s[0] - start)), default=None)


def settle(draft: Question, place: str, notes: Notes) -> Question | None:
    """Return the question with answers that stand in its context, or None if it is dropped; `notes` counts why.

    Args:
        draft: the question as the file has it; `answers` and `starts` may be wrong
        place: where it stands in the file

    Raises:
        InputError: an answer is blank.
    """
    if not draft.question.strip() or not draft.context.strip():
        notes.add(BLANK, place)
        return None
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
    if draft.gold and not spans:
        notes.add(NOWHERE, place)
        return None
    if len(spans) < len(draft.answers):
        notes.add(UNPLACED, place)
    answers = tuple(draft.context[start:end] for start, end in spans)
    return replace(
        draft,
        answers=answers,
        starts=tuple(start for start, _ in spans),
        accepted=draft.gold if draft.gold != answers else (),
    )
