"""Trains and measures the models of all tables, each once: what was done is found again by all that it depends on."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer
from transformers import set_seed

from bskim_export.bundle.manifest import RunDefaults
from bskim_export.calibrate.store import fingerprint, shards
from bskim_export.checkpoint.loading import load_checkpoint
from bskim_export.data.notes import OnNote, warn_data
from bskim_export.data.question import Question, sample
from bskim_export.evaluate.loop import evaluate
from bskim_export.evaluate.usable import usable
from bskim_export.reproduce.data import TITLES, PaperData
from bskim_export.reproduce.scale import Scale
from bskim_export.runtime.answering import Answerer
from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.windows import WindowMaker
from bskim_export.training.dense_runner import DenseRunner
from bskim_export.training.features import Collator
from bskim_export.training.job import Progress
from bskim_export.training.run import REPORT, run_folder, train
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
    """

    dataset: str = "squad"
    changes: Mapping[str, Any] = field(default_factory=dict)
    start: "Recipe | None" = None


@dataclass(frozen=True, eq=False)
class Scored:
    """The dense answers of a model to the questions of a development set.

    em, f1: float64 [Q], 0 to 100
    """

    em: npt.NDArray[np.float64]
    f1: npt.NDArray[np.float64]


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
        self._progress = progress
        self._on_note = on_note

    def settings(self, recipe: Recipe) -> TrainSettings:
        """Return the settings of a recipe: the paper's for its data set, but for the changes."""
        preset = PRESETS[recipe.dataset]
        common = TrainSettings(
            self.model if recipe.start is None else self.key(recipe.start),
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
        start = self.model if recipe.start is None else str(self.trained(recipe.start))
        questions = self.data.questions(recipe.dataset, "train")
        held_out = sample(self._evaluated(recipe.dataset), LOGGED, SEED)
        settings = self.settings(recipe)
        set_seed(settings.seed)  # a fresh head is random
        checkpoint = load_checkpoint(start, fresh_head=recipe.start is None)
        out.parent.mkdir(parents=True, exist_ok=True)
        some = sample(questions, settings.limit, settings.seed)
        train(checkpoint, some, held_out, settings, out, self._progress, self._on_note, questions)
        return out

    def answered(self, recipe: Recipe) -> Scored:
        """Return the dense scores of a recipe's model, question by question.

        Raises:
            MissingDataError: its data set is not there.
        """
        path = self.trained(recipe)
        answerer = dense_answerer(path)
        questions = usable(self._evaluated(recipe.dataset), answerer.maker, answerer.options, self._on_note)
        name = f"dense-{fingerprint([self.data.fingerprint(recipe.dataset, 'dev'), self.scale.evaluated])}"
        parts = []
        done = 0

        def compute(part: Sequence[Question]) -> Mapping[str, npt.NDArray[Any]]:
            found = list(evaluate(answerer, part))
            return {"em": np.array([100 * one.em for one in found]), "f1": np.array([100 * one.f1 for one in found])}

        for count, arrays in shards(path.parent / name, questions, compute):
            done += count
            self._progress(f"Evaluating {TITLES[recipe.dataset]}", done, len(questions))
            parts.append(arrays)
        return Scored(*(np.concatenate([part[name] for part in parts]) for name in ("em", "f1")))

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
