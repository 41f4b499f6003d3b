"""What a reader dropped or corrected: counted, placed, and told. Nothing is lost in silence."""

import warnings
from collections.abc import Callable, Iterator

from bskim_export.data.question import Question
from bskim_export.errors import InputError

Tell = Callable[[str], None]
"""Takes one line for a person to read; a command prints it."""


class DataWarning(UserWarning):
    """Something in a data set was dropped, corrected or guessed; the message says what, how often and where first."""


def warn(message: str) -> None:
    """Issue a DataWarning: how readers tell what they did when nobody else listens."""
    warnings.warn(message, DataWarning, stacklevel=2)


class Notes:
    """Counts what happened to a data set's questions and answers, by kind.

    Example:
        >>> notes = Notes()
        >>> notes.add("Yes/no questions, dropped", "dev.json: [3]")
        >>> notes.add("Yes/no questions, dropped", "dev.json: [8]")
        >>> notes.lines()
        ['Yes/no questions, dropped: 2, the first at dev.json: [3]']
    """

    def __init__(self):
        self._seen: dict[str, tuple[int, str]] = {}

    def add(self, what: str, place: str) -> None:
        """Count one more of `what`, which was found at `place`."""
        count, first = self._seen.get(what, (0, place))
        self._seen[what] = (count + 1, first)

    def lines(self) -> list[str]:
        """Return one line for each kind, in the order of their first places."""
        return [f"{what}: {count:,}, the first at {first}" for what, (count, first) in self._seen.items()]


def collect(questions: Iterator[Question], notes: Notes, source: str, tell: Tell) -> list[Question]:
    """Return all questions of a reader, and tell its notes.

    Raises:
        InputError: no question is left.
    """
    found = list(questions)
    for line in notes.lines():
        tell(line)
    if not found:
        raise InputError(f"{source}: there are no questions in it{' that can be used' if notes.lines() else ''}.")
    return found
