"""HotpotQA's own files: questions over ten paragraphs, with the sentences that support the answer.

Z. Yang et al.: HotpotQA: A Dataset for Diverse, Explainable Multi-hop Question Answering. EMNLP 2018; the format is
described at https://github.com/hotpotqa/hotpot.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bskim_export.data.files import check_kind, field, read_json
from bskim_export.data.notes import Notes, Tell, collect, warn
from bskim_export.data.placing import NOWHERE, settle
from bskim_export.data.question import Question
from bskim_export.errors import InputError

YES_NO = "Questions dropped, the answer is yes or no"
LOST_FACT = "Supporting facts that name no sentence of the context, left out"
_get = partial(field, form="HotpotQA's format")

Sentences = dict[str, list[tuple[int, int]]]
"""Character ranges [start, end) of a paragraph's sentences in the context, by its title."""


def load_hotpotqa(path: str | Path, tell: Tell = warn) -> list[Question]:
    """Read a HotpotQA JSON or JSON.gz: a train or dev file, which have answers.

    Args:
        tell: called with a line for each kind of thing that was dropped or corrected

    Raises:
        InputError: there is no such file, or it is malformed; the message names the place.
    """
    notes = Notes()
    return collect(parse_hotpotqa(read_json(Path(path)), str(path), notes), notes, str(path), tell)


def parse_hotpotqa(parsed: object, source: str, notes: Notes) -> Iterator[Question]:
    """Yield the questions of parsed HotpotQA JSON.

    The context is the paragraphs, each below its title. HotpotQA gives no offsets: the answer is the first whole-word
    match inside a supporting fact, otherwise anywhere. Questions answered by yes or no, and those without a match, are
    dropped.

    Args:
        source: names the file in errors
        notes: takes what was dropped

    Raises:
        InputError: a field is missing or of the wrong type.
    """
    for i, entry in enumerate(check_kind(parsed, list, source, "HotpotQA's format")):
        place = f"{source}: [{i}]"
        identity, answer = _get(entry, "_id", str, place), _get(entry, "answer", str, place).strip()
        context, sentences = _join(_get(entry, "context", list, place), f"{place}.context")
        supporting = _supporting(_get(entry, "supporting_facts", list, place), sentences, place, notes)
        if answer.lower() in ("yes", "no"):
            notes.add(YES_NO, place)
            continue
        start = _first_match(answer, context, supporting)
        if start is None:
            notes.add(NOWHERE, place)
            continue
        draft = Question(identity, _get(entry, "question", str, place), context, (answer,), (start,), supporting)
        question = settle(draft, place, notes)
        if question is not None:
            yield question


def _join(paragraphs: list, place: str) -> tuple[str, Sentences]:
    context, sentences = "", {}
    for p, paragraph in enumerate(paragraphs):
        at = f"{place}[{p}]"
        title, texts = _pair(paragraph, (str, list), at, "[title, sentences]")
        context += f"\n{title}\n" if context else f"{title}\n"
        ranges = []
        for s, text in enumerate(texts):
            check_kind(text, str, at, f"sentence {s}")
            start = len(context) + len(text) - len(text.lstrip())  # sentences begin with the space between them
            ranges.append((start, start + len(text.strip())))
            context += text
        sentences.setdefault(title, ranges)
    return context, sentences


def _supporting(facts: list, sentences: Sentences, place: str, notes: Notes) -> tuple[tuple[int, int], ...]:
    """Return the ranges of the facts, in the context's order. Some facts of the official files name no sentence."""
    ranges = set()
    for f, fact in enumerate(facts):
        at = f"{place}.supporting_facts[{f}]"
        title, index = _pair(fact, (str, int), at, "[title, sentence index]")
        own = sentences.get(title, [])
        if 0 <= index < len(own) and own[index][0] < own[index][1]:
            ranges.add(own[index])
        else:
            notes.add(LOST_FACT, at)
    return tuple(sorted(ranges))


def _pair(value: object, kinds: tuple[type, type], place: str, form: str) -> list:
    if not (isinstance(value, list) and [type(x) for x in value] == list(kinds)):
        raise InputError(f"{place}: should be {form}; is this HotpotQA's format?")
    return value


def _first_match(answer: str, context: str, supporting: tuple[tuple[int, int], ...]) -> int | None:
    matches = [m.span() for m in re.finditer(rf"(?<!\w){re.escape(answer)}(?!\w)", context)]
    inside = [m for m in matches if any(start <= m[0] and m[1] <= end for start, end in supporting)]
    return next((start for start, _ in inside + matches), None)
