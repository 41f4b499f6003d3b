"""Read and write SQuAD files, 1.1 and 2.0. The dev set of 1.1 is part of the package.

P. Rajpurkar et al.: SQuAD: 100,000+ Questions for Machine Comprehension of Text. EMNLP 2016.
P. Rajpurkar, R. Jia, P. Liang: Know What You Don't Know: Unanswerable Questions for SQuAD. ACL 2018.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from importlib import resources
from pathlib import Path

from bskim_export.atomic import write_json
from bskim_export.data.files import check_kind, field, optional_field, read_json
from bskim_export.data.notes import Notes, OnNote, collect, warn_data
from bskim_export.data.placing import find_near, place_answers
from bskim_export.data.question import Question
from bskim_export.errors import InputError

LOST_FACT = "Supporting facts that stand nowhere in the context, left out"
_get = partial(field, form="SQuAD format")


def load_squad(name_or_path: str | Path = "squad", on_note: OnNote = warn_data) -> list[Question]:
    """Read a file in SQuAD format.

    Args:
        name_or_path: "squad" for the official SQuAD 1.1 dev set (10,570 questions), or a JSON or JSON.gz file
        on_note: called with one line for each kind of thing that was dropped or corrected

    Raises:
        InputError: there is no such file, or it is malformed; the message names the place.

    Example:
        >>> len(load_squad("squad"))
        10570
    """
    if name_or_path == "squad":
        with resources.as_file(resources.files("bskim_export.data") / "squad-dev-v1.1.json.gz") as packaged:
            parsed = read_json(packaged)
    else:
        parsed = read_json(Path(name_or_path))
    notes = Notes()
    return collect(parse_squad(parsed, str(name_or_path), notes), notes, str(name_or_path), on_note)


def parse_squad(parsed: object, source: str, notes: Notes) -> Iterator[Question]:
    """Yield the questions of parsed SQuAD JSON.

    A question may have two fields that are not SQuAD's:
        supporting_facts: a list of {"text", "start"}, the parts of the context that the answer needs
        accepted: a list of texts, see Question

    Args:
        source: names the file in errors
        notes: counts the dropped or corrected questions, answers and facts

    Raises:
        InputError: a field is missing or of the wrong type, an answer is blank, or a question contradicts itself.
    """
    for a, article in enumerate(_get(parsed, "data", list, source)):
        at_article = f"{source}: data[{a}]"
        for p, paragraph in enumerate(_get(article, "paragraphs", list, at_article)):
            at_paragraph = f"{at_article}.paragraphs[{p}]"
            context = _get(paragraph, "context", str, at_paragraph)
            for q, qa in enumerate(_get(paragraph, "qas", list, at_paragraph)):
                place = f"{at_paragraph}.qas[{q}]"
                question = place_answers(_draft(qa, context, place, notes), place, notes)
                if question is not None:
                    yield question


def write_squad(path: Path, questions: Sequence[Question]) -> None:
    """Write questions as a file that `load_squad` reads back. Questions of one context are grouped.

    Raises:
        DiskFullError: there is no room for the file.

    Example:
        >>> import tempfile
        >>> some = load_squad("squad")[:9]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_squad(Path(folder) / "some.json", some)
        ...     load_squad(Path(folder) / "some.json") == some
        True
    """
    by_context: dict[str, list[dict[str, object]]] = {}
    for q in questions:
        entry: dict[str, object] = {
            "id": q.id,
            "question": q.question,
            "answers": [{"text": t, "answer_start": s} for t, s in zip(q.answers, q.starts, strict=True)],
            "is_impossible": not q.answers,
        }
        if q.supporting:
            entry["supporting_facts"] = [{"text": q.context[a:b], "start": a} for a, b in q.supporting]
        if q.accepted:
            entry["accepted"] = list(q.accepted)
        by_context.setdefault(q.context, []).append(entry)
    paragraphs = [{"context": context, "qas": qas} for context, qas in by_context.items()]
    write_json(path, {"version": "1.1", "data": [{"title": "", "paragraphs": paragraphs}]})


def _draft(qa: object, context: str, place: str, notes: Notes) -> Question:
    """Return the question as the file has it. Its answers' offsets are not checked yet."""
    identity = _get(qa, "id", (str, int), place)
    answers = _get(qa, "answers", list, place)
    impossible = optional_field(qa, "is_impossible", not answers, place)
    if impossible != (not answers):
        raise InputError(
            f"{place}: 'is_impossible' is {str(impossible).lower()}, but there are {len(answers) or 'no'} 'answers'."
        )
    accepted: list[object] = optional_field(qa, "accepted", [], place)
    return Question(
        str(identity),
        _get(qa, "question", str, place),
        context,
        tuple(_get(x, "text", str, f"{place}.answers[{i}]") for i, x in enumerate(answers)),
        tuple(_get(x, "answer_start", int, f"{place}.answers[{i}]") for i, x in enumerate(answers)),
        _supporting(qa, context, place, notes),
        tuple(check_kind(x, str, place, "an entry of 'accepted'") for x in accepted),
    )


def _supporting(qa: object, context: str, place: str, notes: Notes) -> tuple[tuple[int, int], ...]:
    """Return the character ranges [start, end) of the supporting facts. Facts found nowhere are counted."""
    facts: list[object] = optional_field(qa, "supporting_facts", [], place)
    ranges = []
    for i, fact in enumerate(facts):
        at = f"{place}.supporting_facts[{i}]"
        text = _get(fact, "text", str, at)
        start = _get(fact, "start", int, at)
        found = find_near(text, context, start) if text else None
        if found is None:
            notes.add(LOST_FACT, at)
        else:
            ranges.append(found)
    return tuple(ranges)
