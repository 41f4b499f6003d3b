"""Trains and measures the models of all tables, each once: what was done is found again by all that it depends on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer
from transformers import set_seed

from bskim_export.bundle.manifest import RunDefaults
from bskim_export.calibrate.store import Arrays, fingerprint, remembered, shards
from bskim_export.checkpoint.loading import load_checkpoint
from bskim_export.data.notes import OnNote, warn_data
from bskim_export.data.question import Question, sample
from bskim_export.evaluate.loop import evaluate, padded_macs
from bskim_export.evaluate.usable import usable
from bskim_export.export.exporter import PARITY_QUESTIONS, export_bundle
from bskim_export.reproduce.data import TITLES, PaperData
from bskim_export.reproduce.scale import Scale
from bskim_export.runtime.answering import Answerer
from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.pipeline import QAPipeline
from bskim_export.runtime.windows import WindowMaker
from bskim_export.training.dense_runner import DenseRunner
from bskim_export.training.features import Collator, make_features
from bskim_export.training.job import Progress
from bskim_export.training.run import REPORT, run_folder, train
from bskim_export.training.separation import Separation, measure_separation
from bskim_export.training.settings import PRESETS, TrainSettings

SEED = 42
"""The paper's."""
LOGGED = 100
"""Questions that are answered after each epoch, for the log."""


@dataclass(frozen=True)
class Recipe:
    """How a model of a table is trained, where that differs from the paper's common settings.

    dataset: a key of `data.TITLES`
    changes: settings of the run
    start: the model that it starts from is another of the table's; None for the pre-trained one
    teacher: of a split model, the one that it is made of and learns from: it starts from there too
    """

    dataset: str = "squad"
    changes: Mapping[str, Any] = field(default_factory=dict)
    start: "Recipe | None" = None
    teacher: "Recipe | None" = None

    @property
    def before(self) -> "Recipe | None":
        """Return whose model it starts from; None for the pre-trained one."""
        return self.teacher or self.start


@dataclass(frozen=True, eq=False)
class Scored:
    """The dense answers of a model to the questions of a development set.

    em, f1: float64 [Q], 0 to 100
    """

    em: npt.NDArray[np.float64]
    f1: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Run(Scored):
    """What a bundle gave at a threshold.

    macs: int64 [Q], multiply-accumulates, predictors included
    padded: int64 [Q], of the dense model over the same windows padded to 512 positions, as the paper counts
    left: int64 [Q, layers], blocks that each layer left
    blocks: int64 [Q], blocks of all windows
    """

    macs: npt.NDArray[np.int64]
    padded: npt.NDArray[np.int64]
    left: npt.NDArray[np.int64]
    blocks: npt.NDArray[np.int64]


class Workshop:
    """All models of all tables at one scale.

    Args:
        model: the pre-trained encoder: a directory or a hub id
        data: the data sets
        scale: how much of them
        folder: keeps models and answers; a call that was killed goes on from there
        changes: settings of all runs, such as a learning rate
        progress: called as work goes on
        on_note: called with one line if questions are left out
    """

    def __init__(
        self,
        model: str,
        data: PaperData,
        scale: Scale,
        folder: Path,
        changes: Mapping[str, Any] | None = None,
        progress: Progress = lambda what, done, total: None,
        on_note: OnNote = warn_data,
    ):
        self.model = model
        self.data = data
        self.scale = scale
        self.folder = folder
        self.changes = dict(changes or {})
        self.progress = progress
        self._on_note = on_note
        self._usable: dict[str, list[Question]] = {}

    def settings(self, recipe: Recipe) -> TrainSettings:
        """Return the settings of a recipe: the paper's for its data set, but for the changes."""
        preset = PRESETS[recipe.dataset]
        common = TrainSettings(
            self.model if recipe.before is None else self.key(recipe.before),
            recipe.dataset,
            limit=self.scale.questions,
            epochs=self.scale.epochs,
            beta=preset.beta,
            batch_size=preset.batch_size,
            max_seq_len=preset.max_seq_len,
            eval_questions=LOGGED,
            seed=SEED,
        )
        return replace(common, **{**self.changes, **recipe.changes})

    def key(self, recipe: Recipe) -> str:
        """Return the name of a recipe's folder: another one for other settings or other data."""
        trained = self.data.fingerprint(recipe.dataset, "train")
        return f"{recipe.dataset}-{fingerprint([asdict(self.settings(recipe)), trained])}"

    def trained(self, recipe: Recipe) -> Path:
        """Return the checkpoint of a recipe, trained now unless it was before.

        Raises:
            MissingDataError: its data set is not there.
        """
        out = self.folder / self.key(recipe) / "model.pt"
        if (run_folder(out) / REPORT).is_file() and out.is_file():
            return out
        start = self.model if recipe.before is None else str(self.trained(recipe.before))
        questions = self.data.questions(recipe.dataset, "train")
        held_out = sample(self._evaluated(recipe.dataset), LOGGED, SEED)
        settings = self.settings(recipe)
        if recipe.teacher is not None:
            settings = replace(settings, teacher=start)
        set_seed(settings.seed)  # a fresh head is random
        checkpoint = load_checkpoint(start, fresh_head=recipe.before is None)
        out.parent.mkdir(parents=True, exist_ok=True)
        some = sample(questions, settings.limit, settings.seed)
        train(checkpoint, some, held_out, settings, out, self.progress, self._on_note, questions)
        return out

    def answered(self, recipe: Recipe) -> Scored:
        """Return the dense scores of a recipe's model, question by question.

        Raises:
            MissingDataError: its data set is not there.
        """
        path = self.trained(recipe)
        answerer = dense_answerer(path)
        questions = self.usable(recipe)
        name = f"dense-{self.scored_on(recipe)}"

        def compute(part: Sequence[Question]) -> Mapping[str, npt.NDArray[Any]]:
            found = list(evaluate(answerer, part))
            return {"em": np.array([100 * one.em for one in found]), "f1": np.array([100 * one.f1 for one in found])}

        return Scored(**self.in_shards(recipe, name, "Evaluating", questions, compute))

    def bundle(self, recipe: Recipe) -> Path:
        """Return the bundle of a recipe's model, exported now unless it was before.

        Raises:
            MissingDataError: its data set is not there.
        """
        path = self.trained(recipe)
        out = path.with_name("engines")
        if not out.is_dir():
            questions = sample(self._evaluated(recipe.dataset), PARITY_QUESTIONS, SEED)
            export_bundle(load_checkpoint(path), out, questions=questions, progress=self.progress)
        return out

    def run(self, recipe: Recipe, threshold: float) -> Run:
        """Return what the bundle of a recipe's model gives at a threshold, question by question; at 0 it is dense.

        Raises:
            MissingDataError: its data set is not there.
        """
        pipeline = QAPipeline(self.bundle(recipe), threshold=threshold)
        answerer = pipeline.answerer()
        questions = self.usable(recipe)
        name = f"run-{fingerprint([threshold, self.scored_on(recipe)])}"

        def compute(part: Sequence[Question]) -> Mapping[str, npt.NDArray[Any]]:
            found = list(evaluate(answerer, part))
            return {
                "em": np.array([100 * one.em for one in found]),
                "f1": np.array([100 * one.f1 for one in found]),
                "macs": np.array([one.macs for one in found]),
                "padded": np.array([padded_macs(one, answerer) for one in found]),
                "left": np.array([one.kept for one in found]),
                "blocks": np.array([one.blocks for one in found]),
            }

        found = self.in_shards(recipe, name, "Running" if threshold else "Running densely", questions, compute)
        return Run(**found)

    def separation(self, recipe: Recipe) -> dict[int, Separation]:
        """Return how well each layer's predictor of a recipe's model tells blocks with an answer from others, over the
        development set.

        Raises:
            MissingDataError: its data set is not there.
        """
        path = self.trained(recipe)
        questions = self.usable(recipe)
        name = f"auc-{self.scored_on(recipe)}.json"

        def compute() -> dict[str, Any]:
            checkpoint = load_checkpoint(path)
            model = checkpoint.model
            maker = WindowMaker(Tokenizer.from_str(checkpoint.tokenizer), checkpoint.describe())
            options = RunOptions.of_length(model.skim.max_seq_len)
            features = make_features(questions, maker, options.max_seq_len, options.doc_stride)
            collator = Collator(model.skim.block_size, model.config.pad_token_id)
            found = measure_separation(model, features, collator)
            return {str(layer): asdict(one) for layer, one in found.items()}

        self.progress("Judging blocks", 0, 1)
        found = remembered(path.parent / name, compute)
        self.progress("Judging blocks", 1, 1)
        return {int(layer): Separation(one["auc"], tuple(one["kept"])) for layer, one in found.items()}

    def usable(self, recipe: Recipe) -> list[Question]:
        """Return the questions that a recipe's model is evaluated on: those that it can run."""
        key = self.key(recipe)
        if key not in self._usable:  # a row of each threshold asks for them, and to tell takes the model's tokenizer
            answerer = dense_answerer(self.trained(recipe))
            found = usable(self._evaluated(recipe.dataset), answerer.maker, answerer.options, self._on_note)
            self._usable[key] = found
        return self._usable[key]

    def scored_on(self, recipe: Recipe) -> str:
        """Return a name for the questions that a recipe's model is evaluated on: another one for others."""
        return fingerprint([self.data.fingerprint(recipe.dataset, "dev"), self.scale.evaluated])

    def in_shards(
        self,
        recipe: Recipe,
        name: str,
        what: str,
        questions: Sequence[Question],
        compute: Callable[[Sequence[Question]], Mapping[str, npt.NDArray[Any]]],
    ) -> Arrays:
        """Return what `compute` gives for all questions, those that are done read from the recipe's folder."""
        parts = []
        done = 0
        for count, arrays in shards(self.folder / self.key(recipe) / name, questions, compute):
            done += count
            self.progress(f"{what} {TITLES[recipe.dataset]}", done, len(questions))
            parts.append(arrays)
        return {field: np.concatenate([part[field] for part in parts]) for field in parts[0]}

    def _evaluated(self, dataset: str) -> list[Question]:
        """Return the questions of a development set that are evaluated."""
        return sample(self.data.questions(dataset, "dev"), self.scale.evaluated, SEED)


def dense_answerer(path: Path) -> Answerer:
    """Return what answers with a checkpoint in PyTorch, nothing dropped."""
    checkpoint = load_checkpoint(path)
    model = checkpoint.model.eval()
    length = model.skim.max_seq_len
    options = RunOptions.resolve(RunDefaults.of_length(length), length, batch_size=16)
    maker = WindowMaker(Tokenizer.from_str(checkpoint.tokenizer), checkpoint.describe())
    collator = Collator(model.skim.block_size, model.config.pad_token_id)
    return Answerer(maker, DenseRunner(model, maker.model, collator), None, options)
