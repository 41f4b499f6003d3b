"""Read data sets in SQuAD's schema from the Hugging Face hub, or from a directory that its `datasets` library loads."""

from collections.abc import Iterable, Iterator

from bskim_export.data.files import FORMS
from bskim_export.data.notes import Notes, OnNote, collect, warn_data
from bskim_export.data.question import Question
from bskim_export.data.squad import parse_rows
from bskim_export.errors import InputError, missing_extra

COLUMNS = ("context", "question", "answers")
"""What a data set must have."""
MORE_COLUMNS = ("id", "is_impossible", "supporting_facts", "accepted")
"""What it may have. No other column is read: some hold images or sound, which cost time to decode."""


def load_hub(
    name: str, config: str | None = None, split: str | None = None, on_note: OnNote = warn_data
) -> list[Question]:
    """Read a data set with the columns id, context, question and answers {text, answer_start}, as `squad` has them.

    A data set's own code is never run: the library is asked for data files only (`datasets` 4 and later has no other
    way).

    Args:
        name: its name on the hub, such as "rajpurkar/squad_v2", or a directory with Parquet or JSON files
        config: the name of its configuration; needed if it has several
        split: "train", "validation", ...; needed if it has several
        on_note: called with one line for each kind of thing that was dropped or corrected

    Raises:
        MissingExtraError: the library `datasets` is not installed.
        InputError: there is no such data set, the hub cannot be reached, a column is missing, or a row is malformed.
    """
    source = f"hub:{':'.join(part for part in (name, config, split) if part)}"
    try:
        import datasets
    except ImportError as error:
        raise missing_extra("datasets", "hub", f"Reading '{source}'") from error
    try:
        split = split or _only_split(datasets.get_dataset_split_names(name, config), source)
        rows = datasets.load_dataset(name, config, split=split)
        names = rows.column_names
        missing = [c for c in COLUMNS if c not in names]
        if missing:
            raise InputError(
                f"'{source}' is not in SQuAD's schema: it has no {missing}, it has {names}. Convert it to a "
                "SQuAD-format file."
            )
        columns = rows.select_columns([c for c in (*COLUMNS, *MORE_COLUMNS) if c in names])
    except InputError:
        raise
    except Exception as error:  # of the library, and of all that it reads files with
        raise _unreadable(source, error) from None
    notes = Notes()
    return collect(parse_rows(_rows(columns, source), notes), notes, source, on_note)


def _rows(rows: Iterable[object], source: str) -> Iterator[tuple[str, object]]:
    """Yield the rows with their places. Some damage shows only here."""
    try:
        for i, row in enumerate(rows):
            yield f"{source}: row {i}", row
    except Exception as error:
        raise _unreadable(source, error) from None


def _unreadable(source: str, error: Exception) -> InputError:
    # The library says "an error occurred"; what it was is the cause.
    reasons = [error, *filter(None, [error.__cause__])]
    said = "; ".join(f"{str(e) or type(e).__name__}"[:500].rstrip(".") for e in reasons)
    return InputError(f"'{source}' cannot be read: {said}. {FORMS}")


def _only_split(names: list[str], source: str) -> str:
    if len(names) != 1:
        raise InputError(f"'{source}' has the splits {names}: name one, as in '{source}:{names[-1]}'.")
    return names[0]
