"""Count the questions and answers that a reader drops or corrects, and report them. Nothing is lost in silence."""

import warnings
from collections.abc import Callable, Iterator

from bskim_export.data.question import Question
from bskim_export.errors import InputError

OnNote = Callable[[str], None]
"""A callback that takes one line for a person to read. A command prints it."""
SAME_ID = "Questions with the id of an earlier one, kept"


class DataWarning(UserWarning):
    """A reader dropped, corrected or guessed something. The message gives the kind, the count and the first place."""


def warn_data(message: str) -> None:
    """Issue a note as a DataWarning. This is the readers' default callback."""
    warnings.warn(message, DataWarning, stacklevel=2)


class Notes:
    """Counts of the things that happened to a data set's questions and answers, by kind.

    Example:
        >>> notes = Notes()
        >>> notes.add("Yes/no questions, dropped", "dev.json: [3]")
        >>> notes.add("Yes/no questions, dropped", "dev.json: [8]")
        >>> notes.lines()
        ['Yes/no questions, dropped: 2, the first at dev.json: [3]']
    """

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, str]] = {}

    def add(self, kind: str, place: str) -> None:
        """Count one more thing of this kind, found at this place of the data set."""
        count, first = self._seen.get(kind, (0, place))
        self._seen[kind] = (count + 1, first)

    def lines(self) -> list[str]:
        """Return one line for each kind, in the order of their first places."""
        return [f"{kind}: {count:,}, the first at {first}" for kind, (count, first) in self._seen.items()]


def collect(questions: Iterator[Question], notes: Notes, source: str, on_note: OnNote) -> list[Question]:
    """Return all questions of a reader, and pass its notes on.

    Args:
        notes: the notes that the reader fills
        source: names the data set in the error
        on_note: called with one line for each kind of note

    Raises:
        InputError: no question is left.
    """
    found = list(questions)
    # Nothing here goes by the id, so a second question of one id is no less a question. But it is worth knowing.
    known: set[str] = set()
    for question in found:
        if question.id in known:
            notes.add(SAME_ID, f"id '{question.id}'")
        known.add(question.id)
    for line in notes.lines():
        on_note(line)
    if not found:
        raise InputError(f"{source}: there are no questions in it{' that can be used' if notes.lines() else ''}.")
    return found
