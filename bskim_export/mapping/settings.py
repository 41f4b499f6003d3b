"""What decides the rows of a run, apart from its input and its bundle; and the columns that it adds. Standard library
only: this is what is recorded, compared, and sent to actors."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from bskim_export.errors import InputError

PARQUET = "parquet"
JSONL = "jsonl"


@dataclass(frozen=True)
class Settings:
    """How rows are read, answered and written. Equal settings, input and bundle give equal rows.

    question_column, context_column, passages_column: the names of what is asked
    prefix: stands before the names of the columns that are added
    part_rows: rows of a part at most
    format: PARQUET or JSONL, of the output
    backend, precision: what runs the graphs, on every node
    threshold: for every layer; None for the bundle's own
    max_answer_len: tokens of an answer at most; None for the bundle's
    """

    format: str
    backend: str
    precision: str = "fp32"
    question_column: str = "question"
    context_column: str = "context"
    passages_column: str = "passages"
    prefix: str = ""
    part_rows: int = 2000
    top_k: int = 1
    max_answer_len: int | None = None
    handle_impossible_answer: bool = False
    threshold: float | None = None

    @property
    def added(self) -> list[str]:
        """Return the names of all columns that may be added.

        Example:
            >>> Settings("jsonl", "onnxruntime", prefix="qa_", top_k=2).added
            ['qa_answer', 'qa_score', 'qa_start', 'qa_end', 'qa_passage', 'qa_answers', 'qa_error']
        """
        several = ["answers"] if self.top_k > 1 else []
        return [f"{self.prefix}{name}" for name in ("answer", "score", "start", "end", "passage", *several, "error")]

    def check_columns(self, names: Iterable[str], where: str) -> None:
        """Raise InputError unless rows with these columns can be answered.

        Args:
            names: of the columns that there are
            where: names the file, at the beginning of the message
        """
        there = list(names)
        said = f"It has {_quoted(there[:20])}" if there else "It has no columns"
        if self.question_column not in there:
            raise InputError(f"{where} has no column '{self.question_column}'. {said}; name it with --question-column.")
        if self.context_column not in there and self.passages_column not in there:
            raise InputError(
                f"{where} has neither a column '{self.context_column}' nor '{self.passages_column}'. {said}; name one "
                f"with --context-column or --passages-column."
            )
        self.check_free(there, where)

    def check_free(self, names: Iterable[str], where: str) -> None:
        """Raise InputError if one of these columns has the name of one that is added."""
        taken = sorted(set(names) & set(self.added))
        if taken:
            raise InputError(
                f"{where} has {_quoted(taken)} already, which would be overwritten. Have the new columns called "
                f"otherwise with --prefix, as in --prefix bskim_."
            )

    def as_record(self) -> dict[str, Any]:
        """Return the settings by the names of their options."""
        return {name.replace("_", "-"): value for name, value in asdict(self).items()}


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
