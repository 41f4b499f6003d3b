"""The paper's data sets, as far as they are at hand."""

import hashlib
from functools import cache
from pathlib import Path

from bskim_export.data.notes import OnNote, warn_data
from bskim_export.data.question import Question
from bskim_export.data.readers import read_questions
from bskim_export.errors import InputError

TITLES = {
    "squad": "SQuAD",
    "hotpotqa": "HotpotQA",
    "newsqa": "NewsQA",
    "naturalquestions": "NaturalQuestions",
    "triviaqa": "TriviaQA",
    "searchqa": "SearchQA",
}
"""The paper's data sets, in the order of its Table 1."""
ALIASES = {"naturalquestions": ("naturalquestions", "nq", "nq-qed")}
ENDINGS = (".json.gz", ".jsonl.gz", ".json", ".jsonl")


class MissingDataError(InputError):
    """A table needs a data set that is not there: a gap in it, and no end of the run."""


class PaperData:
    """A folder with files such as `squad-train.json.gz` and `hotpotqa-dev.jsonl`, in any format that is read.

    Without one there is SQuAD's development set, which travels with the package. Its articles are shared out then:
    those of every other title are trained on, and the others evaluated.

    Args:
        folder: where the files are; None if there are none
        on_note: called with one line for each kind of thing that was dropped or corrected

    Raises:
        InputError: there is no such folder.
    """

    def __init__(self, folder: Path | None, on_note: OnNote = warn_data):
        if folder is not None and not folder.is_dir():
            raise InputError(f"There is no folder '{folder}' with data sets, such as squad-train.json.gz.")
        self.folder = folder
        self._on_note = on_note
        self._read = cache(self._read_part)
        self._hash = cache(self._hash_part)

    def questions(self, name: str, part: str) -> list[Question]:
        """Return the questions of a data set.

        Args:
            name: a key of TITLES
            part: "train" or "dev"

        Raises:
            MissingDataError: they are not there.
            InputError: they cannot be read.
        """
        return self._read(name, part)

    def fingerprint(self, name: str, part: str) -> str:
        """Return 16 hexadecimal digits that are others for other questions. Raises as `questions` does."""
        return self._hash(name, part)

    def _hash_part(self, name: str, part: str) -> str:
        whole = hashlib.sha256()
        for question in self.questions(name, part):
            whole.update(repr((question.id, question.question, question.answers, question.starts)).encode())
            whole.update(hashlib.sha256(question.context.encode(errors="surrogatepass")).digest())
        return whole.hexdigest()[:16]

    def describe(self, name: str, part: str) -> str:
        """Return what is read, for a table's notes."""
        if self.folder is None:
            return f"half of the articles of {TITLES[name]}'s development set"
        return f"{TITLES[name]}, {self._find(name, part).name}"

    def _read_part(self, name: str, part: str) -> list[Question]:
        if self.folder is not None:
            return read_questions(self._find(name, part), self._on_note)
        if name != "squad":
            raise MissingDataError(f"no data: {name}-{part}, without --data")
        found = read_questions("squad", self._on_note)
        titles = {title: i for i, title in enumerate(dict.fromkeys(q.title for q in found))}
        return [q for q in found if titles[q.title] % 2 == (part == "dev")]

    def _find(self, name: str, part: str) -> Path:
        assert self.folder is not None
        for alias in ALIASES.get(name, (name,)):
            for ending in ENDINGS:
                path = self.folder / f"{alias}-{part}{ending}"
                if path.is_file():
                    return path
        raise MissingDataError(f"no data: {name}-{part}")
