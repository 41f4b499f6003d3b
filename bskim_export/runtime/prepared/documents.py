"""Documents in files: texts, JSON lines, and directories of both. Each has a name."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bskim_export.data.files import read_json_lines
from bskim_export.errors import InputError
from bskim_export.runtime.asked import Passage

TEXTS = (".txt", ".md")
LINES = (".jsonl", ".jsonl.gz")
"""Of the files of a directory, those with these endings are read. A file that is named itself may have any."""


@dataclass(frozen=True)
class DocumentFile:
    """A file of documents.

    name: of the document that it holds; documents in JSON lines without a name have it with the number of their line
    """

    path: Path
    name: str


@dataclass(frozen=True)
class Document:
    """A text with a name.

    place: where it is from, for messages
    """

    name: str
    passage: Passage
    place: str


def find_files(paths: Iterable[Path]) -> tuple[list[DocumentFile], list[str]]:
    """Return the files that paths name, directories with all that is in them, and the names of those left out.

    What begins with a dot is passed over.

    Raises:
        InputError: there is nothing at a path, something that is no file, or a directory that cannot be read.
    """
    found: list[DocumentFile] = []
    left_out: list[str] = []
    for path in paths:
        if path.is_dir():
            for file, name in _walk(path):
                if name.lower().endswith(TEXTS + LINES):
                    found.append(DocumentFile(file, name))
                else:
                    left_out.append(name)
        elif path.is_file():
            found.append(DocumentFile(path, path.name))
        else:
            raise InputError(f"'{path}' is no file and no directory." if path.exists() else f"There is no '{path}'.")
    return found, left_out


def _walk(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files below a directory, sorted, and their paths from there."""

    def fail(error: OSError) -> None:
        raise InputError(f"'{error.filename}' cannot be read: {error.strerror}.") from error

    for here, folders, names in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(here, name)
            if not name.startswith(".") and path.is_file():
                yield path, path.relative_to(folder).as_posix()


def read_documents(files: Iterable[DocumentFile]) -> Iterator[Document]:
    """Yield the documents of files.

    Raises:
        InputError: a file cannot be read, is no text in UTF-8, or has a line that is no document; the message says
            which.
    """
    for file in files:
        if file.path.name.lower().endswith(LINES):
            with _opened(file.path):
                pass  # what cannot be opened is told as of a text
            for place, value in read_json_lines(file.path):
                yield _read_line(value, place, f"{file.name}:{place.rpartition(' ')[2]}")
        else:
            yield Document(file.name, Passage(_read_text(file.path)), f"'{file.path}'")


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with open(path, "rb") as stream:
            yield stream
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}.") from None


def _read_text(path: Path) -> str:
    with _opened(path) as stream:
        content = stream.read()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"'{path}', line {line}: this is no text in UTF-8. Convert it, or leave it out.") from None


def _read_line(value: object, place: str, name: str) -> Document:
    """Return the document of a line."""
    if not isinstance(value, Mapping) or not isinstance(value.get("text"), str):
        raise InputError(f'{place}: a document is an object with "text", and perhaps "name" or "id", and "title".')
    title = value.get("title") or ""
    given = next((value[key] for key in ("name", "id") if value.get(key) is not None), name)
    if not isinstance(title, str) or not isinstance(given, (str, int)) or isinstance(given, bool) or given == "":
        raise InputError(f'{place}: "title" must be a string, and "name" or "id" a string or a whole number.')
    return Document(str(given), Passage(value["text"], title), place)
