"""The paper's Table 1: six data sets, without Block-Skim, trained with it, and skimming."""

from dataclasses import dataclass
from typing import Any

from bskim_export.evaluate.macs import analytic_speedup
from bskim_export.reproduce.data import TITLES, MissingDataError
from bskim_export.reproduce.table import Table, figures_of, mean_cell
from bskim_export.reproduce.workshop import Recipe, Run, Workshop

THRESHOLD = 0.5
"""The paper's: a block goes if its predictor thinks that likelier."""


@dataclass(frozen=True)
class Paper:
    """The paper's F1 of the three rows, and the speed-up of the third, in FLOPs over windows padded to 512."""

    vanilla: float
    trained: float
    skimmed: float
    speedup: float


PAPER = {
    "squad": Paper(88.32, 88.92, 88.52, 3.01),
    "hotpotqa": Paper(74.39, 74.88, 74.47, 2.28),
    "newsqa": Paper(66.57, 67.76, 65.14, 2.53),
    "naturalquestions": Paper(78.85, 78.98, 78.48, 2.56),
    "triviaqa": Paper(72.61, 73.29, 72.80, 1.81),
    "searchqa": Paper(79.93, 80.32, 79.84, 3.17),
}


def make(workshop: Workshop) -> Table:
    """Train and run a model with Block-Skim and one without for each data set, and return the table. Data sets that are
    not there are gaps that say so."""
    columns = [
        "", "F1 vanilla, paper", "ours", "F1 Block-Skim training, paper", "ours", "F1 Block-Skim inference, paper",
        "ours", "Fewer MACs over padded 512, paper", "ours", "over unpadded, ours", "by Equation 4, ours",
    ]  # fmt: skip
    rows, figures = [], []
    for dataset, paper in PAPER.items():
        figure: dict[str, Any] = {"dataset": dataset, "paper": vars(paper)}
        try:
            vanilla = workshop.answered(Recipe(dataset, {"alpha": 0.0}))
            dense, skimmed = (workshop.run(Recipe(dataset), threshold) for threshold in (0.0, THRESHOLD))
        except MissingDataError as gap:
            cells = [str(gap)] + [""] * 5
            figures.append({**figure, "gap": str(gap)})
        else:
            speedups = speedups_of(skimmed, dense)
            cells = [
                *(mean_cell(one.f1) for one in (vanilla, dense, skimmed)),
                *(f"{x:.2f}" for x in speedups.values()),
            ]
            figures.append({
                **figure, "vanilla": figures_of(vanilla), "trained": figures_of(dense, vanilla),
                "skimmed": figures_of(skimmed, dense), **speedups,
            })  # fmt: skip
        papers = [f"{x:.2f}" for x in (paper.vanilla, paper.trained, paper.skimmed, paper.speedup)]
        rows.append([
            TITLES[dataset], papers[0], cells[0], papers[1], cells[1], papers[2], cells[2], papers[3], *cells[3:],
        ])  # fmt: skip
    notes = [
        f"Inference is at the paper's threshold, {THRESHOLD}, in every layer.",
        "In brackets: 95 % intervals by the bootstrap over questions.",
        "The paper counts against windows padded to 512 positions; who pads nothing saves what the next column says.",
        "Equation 4 of the paper ignores predictors, and takes attention for linear.",
    ]
    return Table("table1", "Table 1: data sets", columns, 1, rows, figures, notes)


def speedups_of(run: Run, dense: Run) -> dict[str, float]:
    """Return a run's speed-ups in MACs: over padded windows, over the dense run, and by Equation 4."""
    return {
        "speedup_macs_over_padded_512": float(run.padded.sum() / run.macs.sum()),
        "speedup_macs": float(dense.macs.sum() / run.macs.sum()),
        "speedup_analytic": analytic_speedup((run.left.sum(0) / run.blocks.sum()).tolist()),
    }
