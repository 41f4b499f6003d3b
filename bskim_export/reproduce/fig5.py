"""The paper's Figure 5: F1 against work, of Block-Skim, pruned models, a Length-Adaptive Transformer, and DeFormers."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from bskim_export.bundle.manifest import RunDefaults
from bskim_export.calibrate.store import fingerprint, remembered
from bskim_export.checkpoint.loading import load_checkpoint
from bskim_export.data.question import Question
from bskim_export.evaluate.loop import evaluate, padded_macs
from bskim_export.evaluate.plotting import new_figure, save_figure
from bskim_export.reproduce import deformer
from bskim_export.reproduce.length_runner import LengthRunner, macs_at_lengths
from bskim_export.reproduce.length_search import Point, Shares, search
from bskim_export.reproduce.table import Table
from bskim_export.reproduce.workshop import Recipe, Workshop
from bskim_export.runtime.answering import Answerer
from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.windows import WindowMaker
from bskim_export.training.features import Collator

VANILLA = "vanilla"
MODELS = {
    VANILLA: Recipe(changes={"alpha": 0.0}),
    "Block-Skim": Recipe(),
    "half of the heads": Recipe(changes={"alpha": 0.0, "prune_heads": 0.5}),
    "half of the heads, Block-Skim": Recipe(changes={"prune_heads": 0.5}),
}
LENGTH_ADAPTIVE = "Length-Adaptive Transformer"
DROP = 0.2
"""The share of tokens that a layer of it loses at most: its authors' value."""
SPLITS = (2, 3)
"""Layers at which a DeFormer is split."""
THRESHOLDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.5)
"""Of all layers alike; the last is the paper's."""
SEARCHED = 0.5
"""Share of the evaluated questions on which lengths are searched; the others are what all rows are measured on."""
COLOURS = {
    "Block-Skim": "#0b6e99", "half of the heads, Block-Skim": "#7a5195", LENGTH_ADAPTIVE: "#c2571a",
    deformer.NAME: "#3c8d40", deformer.SKIMMING: "#9bbf3b",
}  # fmt: skip


def make(workshop: Workshop) -> Table:
    """Train the models, run them at several thresholds and lengths, and return the table.

    Raises:
        MissingDataError: SQuAD is not there.
    """
    rows: list[dict[str, Any]] = []
    part = slice(int(len(workshop.usable(MODELS[VANILLA])) * SEARCHED), None)
    for name, recipe in MODELS.items():
        thresholds = (0.0, *THRESHOLDS) if recipe.changes.get("alpha") != 0 else (0.0,)
        for threshold in thresholds:
            run = workshop.run(recipe, threshold)
            rows.append({
                "name": name, "setting": f"threshold {threshold:g}" if threshold else "dense",
                "f1": float(run.f1[part].mean()), "gmacs": float(run.macs[part].mean() / 1e9),
                "padded_gmacs": float(run.padded[part].mean() / 1e9),
            })  # fmt: skip
    rows += _length_adaptive(workshop)
    for layer in SPLITS:
        rows += deformer.measure(workshop, MODELS[VANILLA], layer, part)
    base = rows[0]
    for row in rows:
        row["f1_difference"] = row["f1"] - base["f1"]
        row["speedup_macs"] = base["gmacs"] / row["gmacs"]
        row["speedup_macs_over_padded_512"] = base["padded_gmacs"] / row["gmacs"]
    cells = [
        [
            row["name"], row["setting"], f"{row['f1']:.2f}", f"{row['f1_difference']:+.2f}", f"{row['gmacs']:.3f}",
            f"{row['speedup_macs']:.2f}", f"{row['speedup_macs_over_padded_512']:.2f}",
        ]
        for row in rows
    ]  # fmt: skip
    columns = ["model", "at", "F1", "to vanilla", "GMACs", "fewer MACs over unpadded", "over padded 512"]
    notes = [
        "All rows are of the same questions: the half of the evaluated ones on which no lengths were searched.",
        "MACs are of a question, predictors included. Only the last column counts padding, as the paper does; both "
        "columns are over the vanilla model.",
        "Of the Length-Adaptive Transformer, the lengths that an evolutionary search found best on the other half. It "
        "is counted token by token, and runs in PyTorch; all others in whole blocks, as they run.",
        "Of DeFormers, what is read ahead costs nothing if the passage was read before; both ways are shown.",
        "The paper also draws BERT-large, DistilBERT and ALBERT: other encoders are other calls, with their --model.",
    ]
    return Table("fig5", "Figure 5: F1 against work", columns, 2, cells, rows, notes)


def plot(table: Table, path: Path) -> None:
    """Draw F1 against the speed-up over the unpadded vanilla model.

    Args:
        path: an .svg, .png or .pdf

    Raises:
        MissingExtraError: matplotlib is not there.
    """
    figure = new_figure(6, 4)
    axes = figure.subplots()
    for name, colour in COLOURS.items():
        points = sorted((row["speedup_macs"], row["f1"]) for row in table.figures if row["name"] == name)
        line = "o" if name in (deformer.NAME, deformer.SKIMMING) else "o-"  # points of several models make no curve
        axes.plot(*zip(*points, strict=True), line, color=colour, ms=4, lw=1, label=name)
    axes.axhline(table.figures[0]["f1"], color="0.7", lw=0.8, zorder=0)
    axes.set_ylim(table.figures[0]["f1"] - 10, table.figures[0]["f1"] + 2)
    axes.set_xlabel("fewer MACs than the unpadded vanilla model (x)")
    axes.set_ylabel("F1")
    axes.legend(frameon=False)
    save_figure(figure, path)


def _length_adaptive(workshop: Workshop) -> list[dict[str, Any]]:
    """Return the rows of a Length-Adaptive Transformer: in full, and at the best lengths."""
    recipe = Recipe(changes={"length_drop": DROP})
    path = workshop.trained(recipe)
    questions = workshop.usable(recipe)
    middle = int(len(questions) * SEARCHED)
    measure = LengthMeasure(path)
    scale = workshop.scale
    layers = measure.layers

    def find() -> list[dict[str, Any]]:
        points = search(
            lambda shares: measure(shares, questions[:middle])[:2],
            layers,
            DROP,
            scale.generations,
            scale.children,
            progress=lambda done, total: workshop.progress("Searching lengths", done, total),
        )
        return [vars(point) for point in points]

    key = fingerprint([workshop.scored_on(recipe), scale.generations, scale.children])
    found = [Point(tuple(one["shares"]), one["score"], one["cost"]) for one in
             remembered(path.parent / f"lengths-{key}.json", find)]  # fmt: skip
    full = (1.0,) * layers
    rows = []
    for shares in [full, *(point.shares for point in reversed(found) if point.shares != full)]:
        f1, macs, padded = remembered(
            path.parent / f"lengths-{key}-{fingerprint(shares)}.json", partial(measure, shares, questions[middle:])
        )
        setting = "dense" if shares == full else "shares " + " ".join(f"{share:.2f}" for share in shares)
        rows.append({
            "name": LENGTH_ADAPTIVE, "setting": setting, "f1": f1, "gmacs": macs / 1e9, "padded_gmacs": padded / 1e9,
        })  # fmt: skip
    return rows


class LengthMeasure:
    """Scores a Length-Adaptive Transformer at given lengths.

    Args:
        path: the checkpoint
    """

    def __init__(self, path: Path):
        checkpoint = load_checkpoint(path)
        self._model = checkpoint.model.eval()
        self._description = checkpoint.describe()
        self._maker = WindowMaker(Tokenizer.from_str(checkpoint.tokenizer), self._description)
        length = self._model.skim.max_seq_len
        self._options = RunOptions.resolve(RunDefaults.of_length(length), length, batch_size=16)
        self.layers = self._model.config.num_hidden_layers

    def __call__(self, shares: Shares, questions: Sequence[Question]) -> tuple[float, float, float]:
        """Return mean F1 (percent), and the mean MACs of a question, as it is and padded to 512 dense."""
        collator = Collator(self._model.skim.block_size, self._model.config.pad_token_id)
        runner = LengthRunner(self._model, self._description, collator, shares)
        answerer = Answerer(self._maker, runner, None, self._options)
        done = list(evaluate(answerer, questions, together=len(questions)))
        macs = [sum(macs_at_lengths(self._description, w.length, shares) for w in one.windows) for one in done]
        padded = [padded_macs(one, answerer) for one in done]
        return 100 * float(np.mean([one.f1 for one in done])), float(np.mean(macs)), float(np.mean(padded))
