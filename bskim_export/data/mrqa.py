"""Read MRQA files: NewsQA, TriviaQA, SearchQA, NaturalQuestions, HotpotQA and others in one format.

A. Fisch et al.: MRQA 2019 Shared Task: Evaluating Generalization in Reading Comprehension. MRQA workshop, 2019. The
format is described at https://github.com/mrqa/MRQA-Shared-Task-2019. Each line is one JSON object: first a header,
then a context with its questions on every line.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bskim_export.data.content import Elements, read_content
from bskim_export.data.entries import identity
from bskim_export.data.fields import check_kind, field, short
from bskim_export.data.limits import Limits
from bskim_export.data.metrics import normalize_answer
from bskim_export.data.notes import Notes, OnNote, collect, warn_data
from bskim_export.data.placing import place_answers
from bskim_export.data.question import Question
from bskim_export.errors import InputError

_get = partial(field, form="MRQA format")


def load_mrqa(path: str | Path, on_note: OnNote = warn_data, limits: Limits | None = None) -> list[Question]:
    """Read an MRQA file (JSONL or JSONL.gz), line by line.

    Args:
        on_note: called with one line for each kind of thing that was dropped or corrected
        limits: how much is read at most

    Raises:
        InputError: there is no such file, or it is malformed; the message names line and field.
    """
    content = read_content(Path(path), limits)
    content.check("mrqa")
    notes = Notes()
    return collect(parse_mrqa(content.elements, notes), notes, str(path), on_note)


def parse_mrqa(lines: Elements, notes: Notes) -> Iterator[Question]:
    """Yield the questions of MRQA lines.

    Every occurrence of a detected answer becomes a span, in the file's order. The first span is the one that the
    task's authors suggest to train on. `accepted` holds the question's `answers`: the official script scores against
    them.

    Args:
        lines: parsed, with their places
        notes: counts the dropped or corrected questions and answers

    Raises:
        InputError: a field is missing or of the wrong type, or an answer is blank.
    """
    for number, (line_place, line) in enumerate(lines):
        if number == 0 and isinstance(line, dict) and "header" in line:
            continue
        context = _get(line, "context", str, line_place)
        for q, qa in enumerate(_get(line, "qas", list, line_place)):
            place = f"{line_place}: qas[{q}]"
            spans = list(_spans(qa, context, place))
            question_text = _get(qa, "question", str, place)
            draft = Question(
                identity(qa, ("qid", "id"), question_text, context, place, notes),
                question_text,
                context,
                tuple(text for text, _ in spans),
                tuple(start for _, start in spans),
                accepted=tuple(
                    check_kind(text, str, place, f"answers[{i}]")
                    for i, text in enumerate(_get(qa, "answers", list, place))
                ),
            )
            question = place_answers(draft, place, notes)
            if question is not None:
                yield question


def _spans(qa: object, context: str, place: str) -> Iterator[tuple[str, int]]:
    """Yield (text, start) of every span of the question's detected answers.

    The text is the context's own, or the file's if the context has another text there.
    """
    for i, answer in enumerate(_get(qa, "detected_answers", list, place)):
        at = f"{place}.detected_answers[{i}]"
        text = _get(answer, "text", str, at)
        for j, span in enumerate(_get(answer, "char_spans", list, at)):
            start, end = _span(span, f"{at}.char_spans[{j}]")
            standing = context[start : end + 1]
            # The file's text may differ from the context in case or spacing: then the context's counts.
            yield (standing if normalize_answer(standing) == normalize_answer(text) else text), start


def _span(span: object, place: str) -> tuple[int, int]:
    """Return the first and the last character offset of a span."""
    if not (isinstance(span, list) and len(span) == 2 and all(type(x) is int and x >= 0 for x in span)):
        raise InputError(f"{place}: should be [start, end], two character offsets, found {short(span)}.")
    return span[0], span[1]
