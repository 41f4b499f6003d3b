"""Read and write SQuAD files, 1.1 and 2.0, in their several wrappings. The dev set of 1.1 is part of the package.

P. Rajpurkar et al.: SQuAD: 100,000+ Questions for Machine Comprehension of Text. EMNLP 2016.
P. Rajpurkar, R. Jia, P. Liang: Know What You Don't Know: Unanswerable Questions for SQuAD. ACL 2018.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

from bskim_export.atomic import write_json
from bskim_export.data.content import PARAGRAPH, ROW, Content, Elements, read_content
from bskim_export.data.entries import draft
from bskim_export.data.fields import field
from bskim_export.data.limits import Limits
from bskim_export.data.notes import Notes, OnNote, collect, warn_data
from bskim_export.data.placing import place_answers
from bskim_export.data.question import Question

ONE_PARAGRAPH = "'paragraphs' given as one object, read as a list of one"
_get = partial(field, form="SQuAD format")


def load_squad(
    name_or_path: str | Path = "squad", on_note: OnNote = warn_data, limits: Limits | None = None
) -> list[Question]:
    """Read a file in SQuAD format: an object whose "data" are articles, or a list or JSON lines of articles, of
    paragraphs, or of rows that have a context and one question each.

    Args:
        name_or_path: "squad" for the official SQuAD 1.1 dev set (10,570 questions), or a file
        on_note: called with one line for each kind of thing that was dropped or corrected
        limits: how much is read at most

    Raises:
        InputError: there is no such file, or it is malformed; the message names the place.

    Example:
        >>> len(load_squad("squad"))
        10570
    """
    if name_or_path == "squad":
        with resources.as_file(resources.files("bskim_export.data") / "squad-dev-v1.1.json.gz") as packaged:
            content = read_content(packaged, limits)
    else:
        content = read_content(Path(name_or_path), limits)
    content.check("squad")
    notes = Notes()
    return collect(parse_squad(content, notes), notes, str(name_or_path), on_note)


def parse_squad(content: Content, notes: Notes) -> Iterator[Question]:
    """Yield the questions of articles, paragraphs or rows.

    Args:
        notes: counts the dropped or corrected questions, answers and facts

    Raises:
        InputError: a field is missing or of the wrong type, an answer is blank, or a question contradicts itself.
    """
    if content.kind == ROW:
        return parse_rows(content.elements, notes)
    if content.kind == PARAGRAPH:
        return _parse_paragraphs(content.elements, "", notes)
    return _parse_articles(content.elements, notes)


def parse_rows(rows: Elements, notes: Notes) -> Iterator[Question]:
    """Yield the questions of rows with the columns context, question and answers {text, answer_start}; see
    `parse_squad`.
    """
    for place, row in rows:
        question = place_answers(draft(row, _get(row, "context", str, place), place, notes, dict), place, notes)
        if question is not None:
            yield replace(question, title=_title(row))


def write_squad(path: Path, questions: Sequence[Question]) -> None:
    """Write questions as a file that `load_squad` reads back. Questions of one article and of one context are grouped.

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
    by_title: dict[str, dict[str, list[dict[str, object]]]] = {}
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
        by_title.setdefault(q.title, {}).setdefault(q.context, []).append(entry)
    articles = [
        {"title": title, "paragraphs": [{"context": context, "qas": qas} for context, qas in by_context.items()]}
        for title, by_context in by_title.items()
    ]
    write_json(path, {"version": "1.1", "data": articles})


def _parse_articles(articles: Elements, notes: Notes) -> Iterator[Question]:
    for place, article in articles:
        paragraphs = _get(article, "paragraphs", (list, dict), place)
        if isinstance(paragraphs, dict):
            notes.add(ONE_PARAGRAPH, place)
            paragraphs = [paragraphs]
        numbered = ((f"{place}.paragraphs[{p}]", paragraph) for p, paragraph in enumerate(paragraphs))
        yield from _parse_paragraphs(numbered, _title(article), notes)


def _title(entry: Any) -> str:
    """Return an article's name. It is a help, so anything but a text is no name, and no fault."""
    title = entry.get("title") if isinstance(entry, Mapping) else None
    return title if isinstance(title, str) else ""


def _parse_paragraphs(paragraphs: Elements, title: str, notes: Notes) -> Iterator[Question]:
    for at, paragraph in paragraphs:
        context = _get(paragraph, "context", str, at)
        for q, qa in enumerate(_get(paragraph, "qas", list, at)):
            place = f"{at}.qas[{q}]"
            question = place_answers(draft(qa, context, place, notes), place, notes)
            if question is not None:
                yield replace(question, title=title) if title else question
