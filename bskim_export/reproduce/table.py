"""A table of the paper with its own figures beside ours, as Markdown and as JSON."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bskim_export.atomic import write_atomic, write_json
from bskim_export.evaluate.paired import bootstrap
from bskim_export.reproduce.workshop import Scored


@dataclass(frozen=True)
class Table:
    """One table.

    name: of its command and files
    title: what it is in the paper
    columns: headers; those of texts first
    texts: how many columns are texts
    rows: cells, as they are shown
    figures: the same by name and unrounded, a row each
    notes: what a reader must know
    """

    name: str
    title: str
    columns: list[str]
    texts: int
    rows: list[list[str]]
    figures: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """Return the table with its notes."""
        rule = ["---" if i < self.texts else "---:" for i in range(len(self.columns))]
        lines = [self.columns, rule, *self.rows]
        text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        notes = "".join(f"\n- {note}" for note in self.notes)
        return f"# {self.title}\n\n{text}\n{notes}\n"

    def write(self, folder: Path) -> list[Path]:
        """Write NAME.md and NAME.json into a folder, and return them.

        Raises:
            OutputError: they cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{self.name}.md", folder / f"{self.name}.json"]
        write_atomic(paths[0], lambda stream: stream.write(self.markdown().encode()))
        write_json(paths[1], asdict(self))
        return paths


def mean_cell(values: npt.NDArray[np.float64]) -> str:
    """Return a mean with its 95 % interval, by the bootstrap over questions.

    Example:
        >>> mean_cell(np.full(10, 80.0))
        '80.00 (80.0 to 80.0)'
    """
    low, high = bootstrap(values)
    return f"{values.mean():.2f} ({low:.1f} to {high:.1f})"


def difference_cell(ours: npt.NDArray[np.float64], baseline: npt.NDArray[np.float64]) -> str:
    """Return the mean difference over the same questions, with its 95 % interval.

    Example:
        >>> difference_cell(np.full(10, 80.0), np.full(10, 82.0))
        '-2.00 (-2.0 to -2.0)'
    """
    low, high = bootstrap(ours - baseline)
    return f"{(ours - baseline).mean():+.2f} ({low:+.1f} to {high:+.1f})"


def figures_of(scored: Scored, baseline: Scored | None = None) -> dict[str, Any]:
    """Return EM and F1 with their intervals, and the difference of F1 to a baseline with its own."""
    found: dict[str, Any] = {
        "questions": len(scored.f1),
        "em": float(scored.em.mean()),
        "em_interval": bootstrap(scored.em),
        "f1": float(scored.f1.mean()),
        "f1_interval": bootstrap(scored.f1),
    }
    if baseline is not None:
        found["f1_difference"] = float((scored.f1 - baseline.f1).mean())
        found["f1_difference_interval"] = bootstrap(scored.f1 - baseline.f1)
    return found
