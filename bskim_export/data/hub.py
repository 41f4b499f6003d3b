"""Read data sets in SQuAD's schema from the Hugging Face hub, or from a directory that its `datasets` library loads."""

from collections.abc import Iterable, Iterator
from functools import partial

from bskim_export.data.files import FORMS, check_kind, field
from bskim_export.data.notes import Notes, OnNote, collect, warn_data
from bskim_export.data.placing import place_answers
from bskim_export.data.question import Question
from bskim_export.errors import InputError, missing_extra

COLUMNS = ("id", "context", "question", "answers")
_get = partial(field, form="SQuAD's schema")


def load_hub(
    name: str, config: str | None = None, split: str | None = None, on_note: OnNote = warn_data
) -> list[Question]:
    """Read a data set with the columns id, context, question and answers {text, answer_start}, as `squad` has them.

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
    except InputError:
        raise
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:  # without a network: an OSError
        raise InputError(f"'{source}' cannot be read: {str(error).rstrip('.')}. {FORMS}") from None
    missing = [c for c in COLUMNS if c not in rows.column_names]
    if missing:
        raise InputError(
            f"'{source}' is not in SQuAD's schema: it has no {missing}, it has {rows.column_names}. Convert it to a "
            "SQuAD-format file."
        )
    notes = Notes()
    return collect(parse_rows(rows, source, notes), notes, source, on_note)


def parse_rows(rows: Iterable[object], source: str, notes: Notes) -> Iterator[Question]:
    """Yield the questions of rows in SQuAD's schema.

    Args:
        source: names the data set in errors
        notes: counts the dropped or corrected questions and answers

    Raises:
        InputError: a field is missing or of the wrong type, or an answer is blank.
    """
    for i, row in enumerate(rows):
        place = f"{source}: row {i}"
        answers = _get(row, "answers", dict, place)
        texts = _get(answers, "text", list, f"{place}: answers")
        starts = _get(answers, "answer_start", list, f"{place}: answers")
        if len(texts) != len(starts):
            raise InputError(f"{place}: answers has {len(texts)} 'text' but {len(starts)} 'answer_start'.")
        draft = Question(
            str(_get(row, "id", (str, int), place)),
            _get(row, "question", str, place),
            _get(row, "context", str, place),
            tuple(check_kind(t, str, place, f"answers.text[{j}]") for j, t in enumerate(texts)),
            tuple(check_kind(s, int, place, f"answers.answer_start[{j}]") for j, s in enumerate(starts)),
        )
        question = place_answers(draft, place, notes)
        if question is not None:
            yield question


def _only_split(names: list[str], source: str) -> str:
    if len(names) != 1:
        raise InputError(f"'{source}' has the splits {names}: name one, as in '{source}:{names[-1]}'.")
    return names[0]
