"""The settings of a training run, and the paper's values for each data set."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bskim_export.atomic import write_json
from bskim_export.bundle.manifest import DOC_STRIDE
from bskim_export.errors import InputError

SETTINGS = "settings.json"


@dataclass(frozen=True)
class Preset:
    """The paper's settings for a data set: balance factor (Table 1), batch size and window length."""

    beta: float
    batch_size: int
    max_seq_len: int


PRESETS = {
    "squad": Preset(20, 16, 384),
    "hotpotqa": Preset(20, 32, 512),
    "newsqa": Preset(30, 32, 512),
    "naturalquestions": Preset(30, 32, 512),
    "triviaqa": Preset(100, 32, 512),
    "searchqa": Preset(150, 32, 512),
}


SPLIT = {"beta": 5.0, "batch_size": 2}
"""What suits split models better than a preset's: of the blocks that were chosen, many hold an answer; and a part of a
document has a dozen questions."""
NOT_SPLIT = {
    "freeze": "all layers learn to do with question and passage apart.",
    "prune_heads": "prune heads in a run before, and split what it wrote.",
    "skim_training": "the layers above the split learn from blocks that were chosen already.",
    "evidence": "parts of documents have no labels of supporting facts.",
    "documents": "a split model learns from parts of documents anyway.",
}
"""Settings that do not go with a split model, and why."""


@dataclass(frozen=True)
class TrainSettings:
    """One run. Two runs with the same settings, model and data end with the same weights.

    model, dataset: their names, as the user gave them; of several data sets, joined by +
    limit: questions drawn at random; None for all
    predictor, block_size, layers: see SkimConfig; layers None for all, of a split model for the split and the next
    alpha, beta: see LossSettings; with alpha 0 the model gets no predictors
    layer_weights: the weight of each layer's block loss, first to last; None for 1 each
    learning_rate, predictor_learning_rate: linear decay to 0 after the first `warmup` share of the steps
    prune_heads: share of each layer's attention heads that are removed before training, the least important ones
    skim_training: refused blocks are invisible to later layers while training (the paper's Table 3, row 4)
    length_drop: train a Length-Adaptive Transformer, a baseline of the paper, without predictors: each of its layers
        loses this share of the tokens at most
    documents: passages that each question is asked of, its own and others; None trains on the questions as they are
    windows: of a document, windows without an answer that are trained on, beside all with one
    split: make a split model, whose layers from this one on read question and passage together; it learns from parts of
        documents, and `batch_size` counts these. None for a model that is not split
    teacher: the name of a model that is not split, and that a split one learns from
    dropout: instead of the model's own
    early_stopping: epochs without a better F1 on the held-out questions after which training ends, with the best
        weights
    trainer: further transformers.TrainingArguments
    """

    model: str
    dataset: str
    limit: int | None = None
    predictor: str = "diagonal"
    block_size: int = 32
    layers: tuple[int, ...] | None = None
    alpha: float = 0.1
    beta: float = 20.0
    layer_weights: tuple[float, ...] | None = None
    freeze: bool = False
    prune_heads: float | None = None
    skim_training: bool = False
    evidence: bool = False
    length_drop: float | None = None
    documents: int | None = None
    windows: int = 3
    split: int | None = None
    teacher: str | None = None
    epochs: float = 2.0
    batch_size: int = 16
    learning_rate: float = 3e-5
    predictor_learning_rate: float = 1e-3
    warmup: float = 0.1
    dropout: float | None = None
    max_seq_len: int = 384
    doc_stride: int = DOC_STRIDE
    eval_dataset: str | None = None
    eval_questions: int = 500
    early_stopping: int | None = None
    bf16: bool = False
    seed: int = 42
    trainer: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.skim_training and self.alpha == 0:
            raise InputError("With alpha 0 the model gets no predictors, so skim_training hides nothing.")
        if self.skim_training and self.freeze:
            raise InputError(
                "freeze trains each predictor by itself, on the model as it is; skim_training is for models that learn."
            )

        for name in ("freeze", "skim_training", "evidence", "documents", "split") if self.length_drop else ():
            if getattr(self, name):
                raise InputError(
                    f"length_drop and {name} exclude each other: with length_drop a model has no predictors."
                )
        if self.documents and self.prune_heads:
            raise InputError("Heads are pruned before a model is trained on documents: do it in a run before.")
        if self.split is None:
            if self.teacher is not None:
                raise InputError("A teacher is for split models only: pass split, the layer to split the model at.")
            return
        for name, reason in NOT_SPLIT.items():
            if getattr(self, name):
                raise InputError(f"split and {name} exclude each other: {reason}")
        if self.predictor == "map":
            raise InputError("Predictors of the kind map are for the paper's figures; a split model has none.")

    def check_resumable(self, folder: Path) -> None:
        """Raise InputError if `folder` holds a run with other settings."""
        path = folder / SETTINGS
        if not path.is_file():
            return
        old = json.loads(path.read_text(encoding="utf-8"))
        new = json.loads(json.dumps(dataclasses.asdict(self)))
        changed = [f"{k} was {old.get(k)!r}, is {v!r}" for k, v in new.items() if old.get(k) != v]
        if changed:
            raise InputError(
                f"'{folder}' holds an unfinished run with other settings ({'; '.join(changed)}). Repeat its settings "
                "to go on with it, or delete the folder, or choose another --out."
            )

    def write(self, folder: Path) -> None:
        """Write settings.json."""
        write_json(folder / SETTINGS, dataclasses.asdict(self))
