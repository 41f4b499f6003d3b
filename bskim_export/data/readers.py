"""Read any data set that a user can name."""

from collections.abc import Callable
from pathlib import Path

from bskim_export.data.content import HOTPOTQA, MRQA, NAMES, read_content, unknown
from bskim_export.data.documents import DocumentMaker, some_of_each, whole_articles
from bskim_export.data.files import FORMS
from bskim_export.data.hotpotqa import load_hotpotqa, parse_hotpotqa
from bskim_export.data.hub import load_hub
from bskim_export.data.limits import Limits
from bskim_export.data.mrqa import load_mrqa, parse_mrqa
from bskim_export.data.notes import Notes, OnNote, collect, warn_data
from bskim_export.data.question import Question
from bskim_export.data.squad import load_squad, parse_squad
from bskim_export.errors import InputError, only_own_errors

LARGEST_DOCUMENT = 10_000
"""Paragraphs; that is more than any file of questions has about one article."""

_LOADERS: dict[str, Callable[[Path, OnNote, Limits], list[Question]]] = {
    "squad": load_squad,
    "mrqa": load_mrqa,
    "hotpotqa": load_hotpotqa,
}


@only_own_errors
def read_questions(spec: str | Path, on_note: OnNote = warn_data, largest_file: int | None = None) -> list[Question]:
    """Read a data set.

    Args:
        spec: one of
            "squad": the SQuAD 1.1 dev set that travels with the package
            FILE: any of the next three; its content decides
            "squad:FILE": SQuAD format, 1.1 or 2.0, also as a list or JSON lines of articles, paragraphs or rows
            "mrqa:FILE": MRQA JSON lines
            "hotpotqa:FILE": HotpotQA's own JSON
            "hub:NAME", "hub:NAME:SPLIT", "hub:NAME:CONFIG:SPLIT": a data set in SQuAD's schema, from the Hugging Face
            hub or from a directory
            "articles": SQuAD 1.1's dev articles as documents, 8 questions of each; "articles:FILE": all questions of a
            file, each asked of its whole article
            "documents:N:FILE": each question asked of N paragraphs, its own and others of its article, in random order
            Files may be gzipped. A Path is always a file.
        on_note: called with one line for each kind of thing that was dropped, corrected or guessed. The default
            issues a DataWarning
        largest_file: bytes of a file at most, unpacked. The default is what the environment variable
            BSKIM_LARGEST_FILE says, otherwise 1 GiB, or 16 GiB of JSON lines

    Raises:
        InputError: the data set cannot be found, or is malformed; the message names file, line or path, and field.
        MissingExtraError: the data set is on the hub, and the library `datasets` is not installed.

    Example:
        >>> read_questions("squad")[0].question
        'Which NFL team represented the AFC at Super Bowl 50?'
    """
    if spec == "squad":
        return load_squad(spec, on_note)
    if spec == "articles":
        return some_of_each(whole_articles(load_squad("squad", on_note)))
    limits = Limits.of(largest_file)
    form, colon, rest = str(spec).partition(":")
    if isinstance(spec, Path) or not colon or form not in (*_LOADERS, "hub", "articles", "documents"):
        return _read_file(Path(spec), on_note, limits)
    if not rest:
        raise InputError(f"'{spec}' names no data set. {FORMS}")
    if form == "articles":
        return whole_articles(_read_file(Path(rest), on_note, limits))
    if form == "documents":
        return _read_documents(rest, on_note, limits)
    if form != "hub":
        return _LOADERS[form](Path(rest), on_note, limits)
    name, *config, split = rest.split(":") if ":" in rest else (rest, None)
    if len(config) > 1:
        raise InputError(f"'{spec}' has too many parts. {FORMS}")
    return load_hub(name, config[0] if config else None, split, on_note)


def _read_documents(rest: str, on_note: OnNote, limits: Limits) -> list[Question]:
    size, colon, file = rest.partition(":")
    if not (colon and file and size.isascii() and size.isdigit() and 1 <= int(size[:9]) <= LARGEST_DOCUMENT):
        raise InputError(
            f"'documents:{rest}' must be documents:N:FILE, with N paragraphs from 1 to {LARGEST_DOCUMENT:,}. {FORMS}"
        )
    questions = _read_file(Path(file), on_note, limits)
    make = DocumentMaker(questions)
    return [make(question, int(size)) for question in questions]


def _read_file(path: Path, on_note: OnNote, limits: Limits) -> list[Question]:
    """Read a file whose format nobody named."""
    content = read_content(path, limits)
    if content.kind is None:
        raise unknown(*next(iter(content.elements), (str(path), [])))
    if not content.official:
        on_note(f"{path} holds {NAMES[content.kind]} and is read as that.")
    notes = Notes()
    if content.kind == MRQA:
        found = parse_mrqa(content.elements, notes)
    elif content.kind == HOTPOTQA:
        found = parse_hotpotqa(content.elements, notes)
    else:
        found = parse_squad(content, notes)
    return collect(found, notes, str(path), on_note)
