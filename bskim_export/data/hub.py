"""Data sets of the Hugging Face hub, or of a directory that its `datasets` library can load, in SQuAD's schema."""

from collections.abc import Iterable, Iterator
from functools import partial

from bskim_export.data.files import FORMS, check_kind, field
from bskim_export.data.notes import Notes, Tell, collect, warn
from bskim_export.data.placing import settle
from bskim_export.data.question import Question
from bskim_export.errors import InputError, missing_extra

COLUMNS = ("id", "context", "question", "answers")
_get = partial(field, form="SQuAD's schema")


def load_hub(name: str, config: str | None = None, split: str | None = None, tell: Tell = warn) -> list[Question]:
    """Read a data set with the columns id, context, question and answers {text, answer_start}, as `squad` has them.

    Args:
        name: its name on the hub, such as "rajpurkar/squad_v2", or a directory with Parquet or JSON files
        config: its configuration; needed where it has several
        split: "train", "validation", ...; needed where it has several
        tell: called with a line for each kind of thing that was dropped or corrected

    Raises:
        MissingExtraError: the library `datasets` is not installed.
        InputError: there is no such data set, the hub cannot be reached, or the columns are others.
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
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:  # no network is an OSError
        raise InputError(f"'{source}' cannot be read: {str(error).rstrip('.')}. {FORMS}") from None
    missing = [c for c in COLUMNS if c not in rows.column_names]
    if missing:
        raise InputError(
            f"'{source}' is not in SQuAD's schema: it has no {missing}, it has {rows.column_names}. Convert it to a "
            "SQuAD-format file."
        )
    notes = Notes()
    return collect(parse_rows(rows, source, notes), notes, source, tell)


def parse_rows(rows: Iterable[dict], source: str, notes: Notes) -> Iterator[Question]:
    """Yield the questions of rows in SQuAD's schema; `source` names them in errors."""
    for i, row in enumerate(rows):
        place = f"{source}: row {i}"
        answers = _get(row, "answers", dict, place)
        texts, starts = (_get(answers, key, list, f"{place}: answers") for key in ("text", "answer_start"))
        if len(texts) != len(starts):
            raise InputError(f"{place}: answers has {len(texts)} 'text' but {len(starts)} 'answer_start'.")
        draft = Question(
            str(_get(row, "id", (str, int), place)),
            _get(row, "question", str, place),
            _get(row, "context", str, place),
            tuple(check_kind(t, str, place, f"answers.text[{j}]") for j, t in enumerate(texts)),
            tuple(check_kind(s, int, place, f"answers.answer_start[{j}]") for j, s in enumerate(starts)),
        )
        question = settle(draft, place, notes)
        if question is not None:
            yield question


def _only_split(names: list[str], source: str) -> str:
    if len(names) != 1:
        raise InputError(f"'{source}' has the splits {names}: name one, as in '{source}:{names[-1]}'.")
    return names[0]
