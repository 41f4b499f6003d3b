"""What a data file holds: a document, a list, or lines, and of which format its elements are. Its name plays no part.

Public files come in many wrappings of a few things: SQuAD's articles, its paragraphs, rows with one question each,
MRQA's lines, HotpotQA's entries. The wrapping is taken off here, and each reader gets its own kind of elements.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bskim_export.data.fields import check_kind, kind_of, short
from bskim_export.data.files import FORMS, open_data, parse_json, read_json, read_json_lines
from bskim_export.data.limits import Limits
from bskim_export.errors import InputError

Elements = Iterable[tuple[str, object]]
"""Parsed JSON values, each with its place in the file, for notes and errors."""

ARTICLE = "article"
PARAGRAPH = "paragraph"
ROW = "row"
MRQA = "mrqa"
HOTPOTQA = "hotpotqa"
NAMES = {
    ARTICLE: "articles in SQuAD format",
    PARAGRAPH: "paragraphs in SQuAD format",
    ROW: "rows in SQuAD's schema",
    MRQA: "MRQA data",
    HOTPOTQA: "HotpotQA data",
}
"""What elements of a kind are called."""
_FORM = {ARTICLE: "squad", PARAGRAPH: "squad", ROW: "squad", MRQA: "mrqa", HOTPOTQA: "hotpotqa"}
"""The form that a kind is read as."""
_LOOKED_AT = 20
"""Elements among which one that can be recognised is looked for."""
_BEGINNINGS = {
    b"version https://git-lfs": "a Git LFS pointer, not the file itself. Get it with: git lfs pull",
    b"PAR1": "a Parquet file. Pass hub:DIRECTORY, the directory that it is in",
    b"PK\x03\x04": "a zip archive. Unpack it",
    b"BZh": "a bzip2 file. Unpack it, or compress it with gzip",
    b"\xfd7zXZ": "an xz file. Unpack it, or compress it with gzip",
    b"(\xb5/\xfd": "a zstd file. Unpack it, or compress it with gzip",
    b"ARROW1": "an Arrow file. Save its rows as JSON lines or Parquet",
    b"<": "HTML or XML, not JSON. Was the file downloaded whole?",
}


@dataclass(frozen=True)
class Content:
    """The elements of a file.

    source: names the file
    kind: what the elements are, one of NAMES, or None if they are nothing that is known
    elements: with their places
    official: whether it is an object with SQuAD's articles as "data"
    """

    source: str
    kind: str | None
    elements: Elements
    official: bool

    def check(self, form: str) -> None:
        """Check that the elements can be read as "squad", "mrqa" or "hotpotqa". Unknown ones in a list or in lines may
        be: they are checked field by field.

        Raises:
            InputError: they are of another form, or of none; the message says what to pass.
        """
        if self.kind is None and isinstance(self.elements, list):
            raise unknown(*self.elements[0])
        if self.kind is not None and _FORM[self.kind] != form:
            raise InputError(
                f"'{self.source}' looks like {NAMES[self.kind]}, not {form}. Pass the file without '{form}:'."
            )


def read_content(path: Path, limits: Limits | None = None) -> Content:
    """Return what a file holds. JSON lines are read as they are asked for.

    Raises:
        InputError: the file cannot be read, or is neither JSON nor JSON lines.
    """
    limits = limits or Limits.of()
    if not _has_lines(path, limits):
        try:
            return unwrap(read_json(path, limits), str(path))
        except InputError as error:
            raise _with_hint(path, error) from None
    lines = read_json_lines(path, limits)
    first = list(itertools.islice(lines, 1))
    kind = _kind_of_some([element for _, element in first])
    return Content(str(path), kind, itertools.chain(first, lines), False)


def unwrap(parsed: object, source: str) -> Content:
    """Return the elements of a parsed document: those of its "data", those of a list, or the document itself.

    Raises:
        InputError: its "data" is no list.
    """
    if isinstance(parsed, list):
        kind = _kind_of_some(parsed)
        return Content(source, kind, _numbered(parsed, f"{source}: "), False)
    data = parsed.get("data") if isinstance(parsed, dict) else None
    if isinstance(data, list):
        kind = _kind_of_some(data)
        return Content(source, kind or ARTICLE, _numbered(data, f"{source}: data"), kind in (ARTICLE, None))
    kind = recognise(parsed)
    if kind is None and isinstance(parsed, dict) and "data" in parsed:
        check_kind(data, list, source, "'data'")
    return Content(source, kind, [(f"{source}, line 1", parsed)], False)


def recognise(element: object) -> str | None:
    """Return the kind of an element, or None.

    Example:
        >>> recognise({"paragraphs": []}), recognise({"context": "", "qas": []}), recognise({"text": ""})
        ('article', 'paragraph', None)
    """
    if not isinstance(element, dict):
        return None
    keys = element.keys()
    if "paragraphs" in keys:
        return ARTICLE
    if "header" in keys:
        return MRQA
    if {"context", "qas"} <= keys:
        questions = element["qas"] if isinstance(element["qas"], list) else []
        return MRQA if any(isinstance(q, dict) and "detected_answers" in q for q in questions) else PARAGRAPH
    if "supporting_facts" in keys or ("_id" in keys and "context" in keys):
        return HOTPOTQA
    if {"context", "question"} <= keys:
        return ROW
    return None


def unknown(source: str, parsed: object) -> InputError:
    """Return the error for a value that is nothing that is known; it says what the value looks like."""
    looks = kind_of(parsed)
    if isinstance(parsed, dict):
        looks += f" with the keys {short(list(parsed))}"
    return InputError(
        f"{source}: {looks} is no question-answering data that is known here. Known are SQuAD's articles and "
        "paragraphs, rows with 'context', 'question' and 'answers', MRQA's lines and HotpotQA's entries; convert it to "
        f"one of them. {FORMS}"
    )


def _kind_of_some(values: list[object]) -> str | None:
    return next(filter(None, map(recognise, values[:_LOOKED_AT])), None)


def _numbered(values: list[object], before: str) -> Iterator[tuple[str, object]]:
    return ((f"{before}[{i}]", value) for i, value in enumerate(values))


def _has_lines(path: Path, limits: Limits) -> bool:
    """Return whether the first line of a file is JSON by itself, and not all of the file."""
    with open_data(path) as stream:
        line = stream.readline(limits.line + 1)
        while line.isspace():
            line = stream.readline(limits.line + 1)
        # A document that is a single line is not parsed twice.
        rest = b" "
        while rest.isspace():
            rest = stream.read(2**20)
        if not rest:
            return False
    try:
        # A document over many lines fails here at once.
        parse_json(line, str(path), limits)
    except InputError:
        return False
    return True


def _with_hint(path: Path, error: InputError) -> InputError:
    """Return the error, which says what the file looks like if it is no JSON at all."""
    with open_data(path) as stream:
        head = stream.read(4096).lstrip()
    if "not valid" not in str(error):
        return error
    if not head:
        return InputError(f"'{path}' is not valid JSON: it is empty.")
    for beginning, what in _BEGINNINGS.items():
        if head.startswith(beginning):
            return InputError(f"'{path}' is not valid JSON: it looks like {what}.")
    first = head.split(b"\n")[0]
    if head[:1] not in b'[{"' and (first.count(b",") or first.count(b"\t")):
        return InputError(f"{error}. It looks like a table, CSV or TSV: save it as JSON lines, one row a line.")
    return error
