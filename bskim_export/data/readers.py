"""Read any data set that a user can name."""

import re
from collections.abc import Callable
from pathlib import Path

from bskim_export.data.files import FORMS, open_data
from bskim_export.data.hotpotqa import load_hotpotqa
from bskim_export.data.hub import load_hub
from bskim_export.data.mrqa import load_mrqa
from bskim_export.data.notes import OnNote, warn_data
from bskim_export.data.question import Question
from bskim_export.data.squad import load_squad
from bskim_export.errors import InputError

_LOADERS: dict[str, Callable[[Path, OnNote], list[Question]]] = {
    "squad": load_squad,
    "mrqa": load_mrqa,
    "hotpotqa": load_hotpotqa,
}
_BEGINNINGS = {"mrqa": re.compile(rb'\s*\{\s*"header"\s*:'), "hotpotqa": re.compile(rb"\s*\[")}


def read_questions(spec: str | Path, on_note: OnNote = warn_data) -> list[Question]:
    """Read a data set.

    Args:
        spec: one of
            "squad": the SQuAD 1.1 dev set that travels with the package
            FILE or "squad:FILE": SQuAD format, 1.1 or 2.0
            "mrqa:FILE": MRQA JSON lines
            "hotpotqa:FILE": HotpotQA's own JSON
            "hub:NAME", "hub:NAME:SPLIT", "hub:NAME:CONFIG:SPLIT": a data set in SQuAD's schema, from the Hugging Face
            hub or from a directory
            Files may be gzipped. A plain FILE that begins like MRQA's or HotpotQA's is read as that, with a note. A
            Path is always a file.
        on_note: called with one line for each kind of thing that was dropped, corrected or guessed. The default
            issues a DataWarning

    Raises:
        InputError: the data set cannot be found, or is malformed; the message names file, line or path, and field.
        MissingExtraError: the data set is on the hub, and the library `datasets` is not installed.

    Example:
        >>> read_questions("squad")[0].question
        'Which NFL team represented the AFC at Super Bowl 50?'
    """
    if spec == "squad":
        return load_squad(spec, on_note)
    form, colon, rest = str(spec).partition(":")
    if isinstance(spec, Path) or not colon or form not in (*_LOADERS, "hub"):
        return _read_file(Path(spec), on_note)
    if not rest:
        raise InputError(f"'{spec}' names no data set. {FORMS}")
    if form != "hub":
        return _LOADERS[form](Path(rest), on_note)
    name, *config, split = rest.split(":") if ":" in rest else (rest, None)
    if len(config) > 1:
        raise InputError(f"'{spec}' has too many parts. {FORMS}")
    return load_hub(name, config[0] if config else None, split, on_note)


def _read_file(path: Path, on_note: OnNote) -> list[Question]:
    """Read a file whose format nobody named. Its first bytes decide; otherwise it is SQuAD's."""
    with open_data(path) as stream:
        head = stream.read(1024)
    form = next((form for form, beginning in _BEGINNINGS.items() if beginning.match(head)), "squad")
    if form != "squad":
        on_note(f"{path} begins like {form} data and is read as '{form}:{path}'.")
    return _LOADERS[form](path, on_note)
