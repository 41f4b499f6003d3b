"""The rows of a part as questions, and their answers as the values of new columns."""

from collections.abc import Sequence
from typing import Any, Protocol

from bskim_export.errors import InputError
from bskim_export.mapping.settings import Settings
from bskim_export.runtime.arguments import Example
from bskim_export.runtime.pipeline import QAPipeline

Asked = Example | InputError
"""A row's question, or why it has none."""

Added = dict[str, Any]
"""The values that are added to a row, by the names of their columns without the prefix."""


class Rows(Protocol):
    """The rows of a part, as they were read."""

    def questions(self, settings: Settings) -> list[Asked]:
        """Return what each row asks."""
        ...

    def to_parquet(self, added: Sequence[Added], prefix: str, schema: Any) -> bytes:
        """Return the rows with the added values, as Parquet.

        Args:
            added: the same names for every row
            prefix: stands before the names
            schema: the columns of rows that have no types of their own
        """
        ...

    def to_lines(self, added: Sequence[Added], prefix: str) -> bytes:
        """Return the rows with the added values, as JSON lines."""
        ...


def to_question(question: Any, context: Any, passages: Any) -> Asked:
    """Return the question of a row. What cannot be one is kept, for the pipeline to say so.

    Example:
        >>> to_question("Who?", "Ada.", None)
        Example(question='Who?', context='Ada.')
    """
    if not isinstance(question, str) or passages is None:
        return Example(question, context)
    return Example(question, "" if context is None else context, passages)


def answer_rows(pipeline: QAPipeline, asked: Sequence[Asked], settings: Settings, passages: bool) -> list[Added]:
    """Return the values of the added columns for each row, in order. A row without an answer has the reason in `error`.

    Args:
        passages: the input has passages, so each row says which one its answer is from

    Raises:
        BskimError: not a row but the bundle or the machine is at fault.

    Example:
        >>> answer_rows(pipeline, [Example("Who?", "Ada.")], settings, passages=False)  # doctest: +SKIP
        [{'answer': 'Ada', 'score': 0.98, 'start': 0, 'end': 3, 'error': None}]
    """
    usable = [one for one in asked if not isinstance(one, InputError)]
    found = iter(
        pipeline.run(
            data=usable,
            top_k=settings.top_k,
            max_answer_len=settings.max_answer_len,
            handle_impossible_answer=settings.handle_impossible_answer,
            on_error="return",
            progress=False,
        )
        if usable
        else []
    )
    names = ["answer", "score", "start", "end", *(["passage"] if passages else [])]
    return [_added(one if isinstance(one, InputError) else next(found), names, settings.top_k > 1) for one in asked]


def _added(found: Any, names: Sequence[str], several: bool) -> Added:
    """Return the added values of one row.

    Args:
        found: its answer, its answers, or the error
        names: of the values of an answer
        several: all answers are added, beside the best one
    """
    failed = isinstance(found, InputError)
    answers = [] if failed else found if isinstance(found, list) else [found]
    values = {name: answers[0].get(name) if answers else None for name in names}
    if several:
        values["answers"] = None if failed else [{name: one.get(name) for name in names} for one in answers]
    return {**values, "error": str(found) if failed else None}
