"""The paper's Figure 3: do diagonal blocks of an attention map say as much as all of it?"""

from pathlib import Path

from bskim_export.evaluate.plotting import new_figure, save_figure
from bskim_export.reproduce.table import Table
from bskim_export.reproduce.workshop import Recipe, Workshop

BASELINE = Recipe(changes={"alpha": 0.0})
KINDS = {"diagonal": "diagonal blocks", "map": "the whole map"}


def make(workshop: Workshop) -> Table:
    """Train predictors of both kinds on the maps of a trained model that stays as it is, and return the table.

    Raises:
        MissingDataError: SQuAD is not there.
    """
    found = {
        kind: workshop.separation(Recipe(changes={"freeze": True, "predictor": kind}, start=BASELINE)) for kind in KINDS
    }
    rows, figures = [], []
    for layer in found["diagonal"]:
        aucs = {kind: found[kind][layer].auc for kind in KINDS}
        rows.append([str(layer), *(f"{auc:.3f}" for auc in aucs.values()), f"{aucs['diagonal'] - aucs['map']:+.3f}"])
        figures.append({"layer": layer, **{f"auc_{kind}": auc for kind, auc in aucs.items()}})
    notes = [
        "Area under the ROC curve over the passage blocks of the development set: those with an answer against others. "
        "The paper plots accuracy, which says little where 19 of 20 blocks have no answer.",
        "The model is the baseline of Table 3, frozen; only the predictors learn.",
    ]
    return Table("fig3", "Figure 3: diagonal blocks and whole attention maps", ["layer", *KINDS.values(), "difference"],
                 0, rows, figures, notes)  # fmt: skip


def plot(table: Table, path: Path) -> None:
    """Draw the areas by layer.

    Args:
        path: an .svg, .png or .pdf

    Raises:
        MissingExtraError: matplotlib is not there.
    """
    figure = new_figure(5, 3.2)
    axes = figure.subplots()
    layers = [row["layer"] for row in table.figures]
    for kind, colour in (("diagonal", "#0b6e99"), ("map", "#c2571a")):
        axes.plot(layers, [row[f"auc_{kind}"] for row in table.figures], "o-", color=colour, ms=4, label=KINDS[kind])
    axes.set_xticks(layers)
    axes.set_xlabel("layer")
    axes.set_ylabel("area under the ROC curve")
    axes.legend(frameon=False)
    save_figure(figure, path)
