"""The paper's Table 2: the same training with several seeds."""

import numpy as np
import numpy.typing as npt

from bskim_export.reproduce.table import Table, figures_of
from bskim_export.reproduce.workshop import SEED, Recipe, Workshop

PAPER = {
    "Vanilla": ([80.95, 81.08, 80.98, 81.06, 80.96], [88.32, 88.44, 88.59, 88.44, 88.42]),
    "Block-Skim": ([81.52, 81.25, 81.24, 81.51, 81.84], [88.92, 88.48, 88.66, 88.76, 88.99]),
}
"""EM and F1 of each seed."""
CHANGES = {"Vanilla": {"alpha": 0.0}, "Block-Skim": {}}


def make(workshop: Workshop) -> Table:
    """Train both models with each seed, and return the table.

    Raises:
        MissingDataError: SQuAD is not there.
    """
    seeds = workshop.scale.seeds
    rows, figures = [], []
    for name, papers in PAPER.items():
        found = [workshop.answered(Recipe(changes={**CHANGES[name], "seed": SEED + i})) for i in range(seeds)]
        for i, measure in enumerate(("em", "f1")):
            ours = np.array([getattr(one, measure).mean() for one in found])
            paper = np.array(papers[i])
            each = [f"{value:.2f}" for value in ours]
            rows.append([name, measure.upper(), *each, *_summary(ours), *_summary(paper)])
        figures.append({
            "name": name, "em_paper": papers[0], "f1_paper": papers[1],
            "seeds": [{"seed": SEED + i, **figures_of(one)} for i, one in enumerate(found)],
        })  # fmt: skip
    each = [f"seed {SEED + i}" for i in range(seeds)]
    columns = ["", "", *each, "mean", "deviation", "mean, paper", "deviation, paper"]
    notes = ["Deviations are of samples (n - 1), as in the paper, whose seeds are 0 to 4."]
    return Table("table2", "Table 2: runs with several seeds", columns, 2, rows, figures, notes)


def _summary(values: npt.NDArray[np.float64]) -> list[str]:
    deviation = f"{values.std(ddof=1):.2f}" if len(values) > 1 else ""
    return [f"{values.mean():.2f}", deviation]
