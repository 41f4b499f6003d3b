"""A question as SQuAD's files and their relatives have it: id, question, answers, is_impossible.

Annotation tools, conversions and table libraries write the same thing in other ways. Where the meaning is plain it is
read, and counted. Where it is not, the error names the place.
"""

import hashlib
from functools import partial

from bskim_export.data.fields import check_kind, field, optional_field
from bskim_export.data.notes import Notes
from bskim_export.data.placing import find_near
from bskim_export.data.question import Question
from bskim_export.data.visible import is_blank
from bskim_export.errors import InputError

NO_ID = "Questions without an id, which got one made of their text"
WHOLE = "Numbers like 28.0, read as whole numbers"
FLAG = "'is_impossible' given as 0, 1 or null, read as false, true or not said"
NO_ANSWERS = "'answers' that are null or missing, read as no answer"
BLANK_ANSWERS = "Blank answers, read as no answer"
OTHER_FORM = "'answers' written another way than this format does, read all the same"
LOST_FACT = "Supporting facts that stand nowhere in the context, left out"
_get = partial(field, form="SQuAD format")

Spans = list[tuple[str, int]]
"""Answers, each a text and its character offset."""


def draft(entry: object, context: str, place: str, notes: Notes, usual: type = list) -> Question:
    """Return the question as the file has it. Its answers' offsets are not checked yet.

    A question may have two fields that are not SQuAD's:
        supporting_facts: a list of {"text", "start"}, the parts of the context that the answer needs
        accepted: a list of texts, see Question

    Args:
        place: the question's position in the file, for notes and errors
        notes: counts what is read in another way than it is written
        usual: the type that answers have in this format: a list of objects, or an object of lists

    Raises:
        InputError: a field is missing or of the wrong type, an answer is blank, or the question contradicts itself.
    """
    impossible = _flag(entry, place, notes)
    spans = _spans(entry, impossible, usual, place, notes)
    if impossible is not None and impossible != (not spans):
        raise InputError(
            f"{place}: 'is_impossible' is {str(impossible).lower()}, but there are {len(spans) or 'no'} 'answers'."
        )
    question = _get(entry, "question", str, place)
    accepted: list[object] = optional_field(entry, "accepted", [], place)
    return Question(
        identity(entry, ("id",), question, context, place, notes),
        question,
        context,
        tuple(text for text, _ in spans),
        tuple(start for _, start in spans),
        _supporting(entry, context, place, notes),
        tuple(check_kind(x, str, place, "an entry of 'accepted'") for x in accepted),
    )


def identity(entry: object, keys: tuple[str, ...], question: str, context: str, place: str, notes: Notes) -> str:
    """Return the id of a question. Without one it gets one that depends on question and context only.

    Args:
        keys: the fields that may hold it, the first one that does counts

    Raises:
        InputError: it is neither a text nor a number.
    """
    for key in keys:
        value = entry.get(key) if isinstance(entry, dict) else None
        if value is None or value == "":
            continue
        return value if isinstance(value, str) else str(whole(value, place, f"'{key}'", notes, (str, int)))
    notes.add(NO_ID, place)
    return hashlib.blake2b(f"{question}\0{context}".encode(errors="replace"), digest_size=8).hexdigest()


def whole(value: object, place: str, what: str, notes: Notes, kinds: tuple[type, ...] = (int,)) -> int:
    """Return a whole number. One like 28.0 is counted.

    Raises:
        InputError: it is none; the message names `kinds`.
    """
    if isinstance(value, float) and value.is_integer():
        notes.add(WHOLE, place)
        return int(value)
    number: object = check_kind(value, kinds, place, what)
    assert isinstance(number, int)
    return number


def _flag(entry: object, place: str, notes: Notes) -> bool | None:
    """Return whether the question says that it has no answer, or None if it does not say."""
    if not isinstance(entry, dict) or "is_impossible" not in entry:
        return None
    value = entry["is_impossible"]
    if isinstance(value, bool):
        return value
    if value is None or (isinstance(value, int | float) and value in (0, 1)):
        notes.add(FLAG, place)
        return None if value is None else bool(value)
    return check_kind(value, bool, place, "'is_impossible'")


def _spans(entry: object, impossible: bool | None, usual: type, place: str, notes: Notes) -> Spans:
    """Return the answers that are not blank."""
    given = entry.get("answers") if isinstance(entry, dict) else None
    if given is None and isinstance(entry, dict) and (impossible or "answers" in entry):
        notes.add(NO_ANSWERS, place)
        return []
    answers: object = _get(entry, "answers", (list, dict), place)
    if not isinstance(answers, usual):
        notes.add(OTHER_FORM, place)
    if isinstance(answers, dict):
        spans = _of_lists(answers, place, notes)
    else:
        spans = _of_objects(check_kind(answers, list, place, "'answers'"), place, notes)
    kept = [(text, start) for text, start in spans if not is_blank(text)]
    if len(kept) == len(spans):
        return spans
    # A blank answer says that there is none, if another sign of it says the same. Beside real answers it says nothing.
    if not kept and not impossible and any(start >= 0 for _, start in spans):
        raise InputError(f"{place}: an answer is blank. A question that has no answer has an empty list of them.")
    notes.add(BLANK_ANSWERS, place)
    return kept


def _of_objects(answers: list[object], place: str, notes: Notes) -> Spans:
    spans = []
    for i, answer in enumerate(answers):
        at = f"{place}.answers[{i}]"
        text = _get(answer, "text", str, at)
        spans.append((text, _blanks_start(answer) if is_blank(text) else _number(answer, "answer_start", at, notes)))
    return spans


def _of_lists(answers: dict[str, object], place: str, notes: Notes) -> Spans:
    at = f"{place}: answers"
    texts = _get(answers, "text", (list, str), at)
    if isinstance(texts, str):
        # One answer, as an object of its own.
        notes.add(OTHER_FORM, place)
        if is_blank(texts):
            return [(texts, _blanks_start(answers))]
        texts = [texts]
        if not isinstance(answers.get("answer_start"), list):
            return [(texts[0], _number(answers, "answer_start", at, notes))]
    starts = _get(answers, "answer_start", list, at)
    if len(texts) != len(starts):
        raise InputError(f"{place}: answers has {len(texts)} 'text' but {len(starts)} 'answer_start'.")
    return [
        (check_kind(t, str, place, f"answers.text[{i}]"), whole(s, place, f"answers.answer_start[{i}]", notes))
        for i, (t, s) in enumerate(zip(texts, starts, strict=True))
    ]


def _number(parent: object, key: str, place: str, notes: Notes) -> int:
    """Return a field that is a whole number."""
    if isinstance(parent, dict) and key in parent:
        return whole(parent[key], place, f"'{key}'", notes)
    return _get(parent, key, int, place)


def _blanks_start(answer: object) -> int:
    """Return the offset of a blank answer, which need not have one."""
    given = answer.get("answer_start") if isinstance(answer, dict) else None
    return given if type(given) is int else 0


def _supporting(entry: object, context: str, place: str, notes: Notes) -> tuple[tuple[int, int], ...]:
    """Return the character ranges [start, end) of the supporting facts. Facts found nowhere are counted."""
    facts: list[object] = optional_field(entry, "supporting_facts", [], place)
    ranges = []
    for i, fact in enumerate(facts):
        at = f"{place}.supporting_facts[{i}]"
        text = _get(fact, "text", str, at)
        found = find_near(text, context, _number(fact, "start", at, notes))
        if found is None:
            notes.add(LOST_FACT, at)
        else:
            ranges.append(found)
    return tuple(ranges)
