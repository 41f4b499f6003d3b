"""Read HotpotQA's own files: questions over ten paragraphs, with the sentences that support the answer.

Z. Yang et al.: HotpotQA: A Dataset for Diverse, Explainable Multi-hop Question Answering. EMNLP 2018. The format is
described at https://github.com/hotpotqa/hotpot.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from bskim_export.data.content import Elements, read_content
from bskim_export.data.entries import identity
from bskim_export.data.fields import check_kind, field
from bskim_export.data.limits import Limits
from bskim_export.data.notes import Notes, OnNote, collect, warn_data
from bskim_export.data.placing import NOWHERE, place_answers
from bskim_export.data.question import Question
from bskim_export.data.visible import is_blank, stands_alone
from bskim_export.errors import InputError

YES_NO = "Questions dropped, the answer is yes or no"
LOST_FACT = "Supporting facts that name no sentence of the context, left out"
_A = TypeVar("_A")
_B = TypeVar("_B")
_get = partial(field, form="HotpotQA's format")

Sentences = dict[str, list[tuple[int, int]]]
"""By a paragraph's title: the character ranges [start, end) of its sentences in the context."""


def load_hotpotqa(path: str | Path, on_note: OnNote = warn_data, limits: Limits | None = None) -> list[Question]:
    """Read a train or dev file of HotpotQA (JSON or JSON.gz). Test files have no answers.

    Args:
        on_note: called with one line for each kind of thing that was dropped or corrected
        limits: how much is read at most

    Raises:
        InputError: there is no such file, or it is malformed; the message names the place.
    """
    content = read_content(Path(path), limits)
    content.check("hotpotqa")
    notes = Notes()
    return collect(parse_hotpotqa(content.elements, notes), notes, str(path), on_note)


def parse_hotpotqa(entries: Elements, notes: Notes) -> Iterator[Question]:
    """Yield the questions of HotpotQA's entries.

    The context is the paragraphs, each below its title. HotpotQA gives no offsets, so the answer is searched for: its
    first whole-word match inside a supporting fact, or else its first match anywhere. A question is dropped if its
    answer is yes or no, or matches nowhere.

    Args:
        entries: parsed, with their places
        notes: counts the dropped questions and facts

    Raises:
        InputError: a field is missing or of the wrong type, or an answer is blank.
    """
    for place, entry in entries:
        question = _get(entry, "question", str, place)
        answer = _get(entry, "answer", str, place).strip()
        context, sentences = _join(_get(entry, "context", list, place), f"{place}.context")
        supporting = _supporting(_get(entry, "supporting_facts", list, place), sentences, place, notes)
        if is_blank(answer):
            raise InputError(f"{place}: an answer is blank.")
        if answer.lower() in ("yes", "no"):
            notes.add(YES_NO, place)
            continue
        start = _first_match(answer, context, supporting)
        if start is None:
            notes.add(NOWHERE, place)
            continue
        name = identity(entry, ("_id", "id"), question, context, place, notes)
        placed = place_answers(Question(name, question, context, (answer,), (start,), supporting), place, notes)
        if placed is not None:
            yield placed


def _join(paragraphs: list[object], place: str) -> tuple[str, Sentences]:
    """Return the context and the ranges of its sentences. Of several paragraphs with one title, the first counts."""
    context = ""
    sentences: Sentences = {}
    for p, paragraph in enumerate(paragraphs):
        at = f"{place}[{p}]"
        title, texts = _pair(paragraph, str, list, at, "[title, sentences]")
        context += f"\n{title}\n" if context else f"{title}\n"
        ranges = []
        for s, text in enumerate(texts):
            sentence = check_kind(text, str, at, f"sentence {s}")
            # A sentence begins with the space that separates it from the one before: the range leaves it out.
            start = len(context) + len(sentence) - len(sentence.lstrip())
            ranges.append((start, start + len(sentence.strip())))
            context += sentence
        sentences.setdefault(title, ranges)
    return context, sentences


def _supporting(facts: list[object], sentences: Sentences, place: str, notes: Notes) -> tuple[tuple[int, int], ...]:
    """Return the facts' character ranges [start, end), in the context's order.

    Some facts of the official files name no sentence. They are left out, and counted.
    """
    ranges = set()
    for f, fact in enumerate(facts):
        at = f"{place}.supporting_facts[{f}]"
        title, index = _pair(fact, str, int, at, "[title, sentence index]")
        own = sentences.get(title, [])
        if 0 <= index < len(own) and own[index][0] < own[index][1]:
            ranges.add(own[index])
        else:
            notes.add(LOST_FACT, at)
    return tuple(sorted(ranges))


def _pair(value: object, first: type[_A], second: type[_B], place: str, form: str) -> tuple[_A, _B]:
    """Return a list of two values, checked to be of these types; `form` describes it in the error."""
    # Not isinstance: JSON's true is no number, but Python's bool is an int.
    if not (isinstance(value, list) and [type(x) for x in value] == [first, second]):
        raise InputError(f"{place}: should be {form}; is this HotpotQA's format?")
    return value[0], value[1]


def _first_match(answer: str, context: str, supporting: tuple[tuple[int, int], ...]) -> int | None:
    """Return the offset of the answer's first whole-word match inside a supporting fact, or else anywhere."""
    first = None
    start = context.find(answer)
    while start >= 0:
        end = start + len(answer)
        if stands_alone(context, start, end):
            if any(begin <= start and end <= finish for begin, finish in supporting):
                return start
            first = start if first is None else first
        start = context.find(answer, start + 1)
    return first
