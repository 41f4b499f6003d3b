"""What a training run is made of, as the kinds of training take it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import TrainingArguments

from bskim_export.checkpoint.loading import Checkpoint
from bskim_export.data.notes import OnNote
from bskim_export.data.question import Question
from bskim_export.errors import InputError
from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.windows import WindowMaker
from bskim_export.training.settings import TrainSettings
from bskim_export.training.trainer import Rates

Progress = Callable[[str, int, int], None]
"""Called with the name of a piece of work, how much of it is done, and out of how much."""
BEST = {"save_strategy": "epoch", "load_best_model_at_end": True, "metric_for_best_model": "eval_f1"}
SAVE_STEPS = 200


@dataclass(frozen=True)
class Job:
    """A training run that is about to begin.

    checkpoint: the model, with the predictors that it shall have
    questions, held_out: all can be run
    others: whose paragraphs make documents, in the order of their files
    settings, options: of the run, and of windows
    folder: of the run
    progress, on_note: see `run.train`
    """

    checkpoint: Checkpoint
    questions: Sequence[Question]
    held_out: Sequence[Question]
    others: Sequence[Question]
    settings: TrainSettings
    options: RunOptions
    folder: Path
    progress: Progress
    on_note: OnNote

    @property
    def model(self) -> BlockSkimForQuestionAnswering:
        """Return the model."""
        return self.checkpoint.model

    @property
    def rates(self) -> Rates:
        """Return the learning rates."""
        return Rates(self.settings.learning_rate, self.settings.predictor_learning_rate)

    def maker(self) -> WindowMaker:
        """Return what cuts windows, for the model as it is now."""
        return WindowMaker(Tokenizer.from_str(self.checkpoint.tokenizer), self.checkpoint.describe())

    def arguments(self, count: int) -> TrainingArguments:
        """Return the Trainer's arguments.

        Args:
            count: windows, documents or parts that are trained on

        Raises:
            InputError: `settings.trainer` has what there is not.
        """
        settings = self.settings
        steps = -(-count // settings.batch_size) * settings.epochs
        arguments: dict[str, Any] = {
            "output_dir": str(self.folder),
            "per_device_train_batch_size": settings.batch_size,
            "num_train_epochs": settings.epochs,
            "learning_rate": settings.learning_rate,
            "lr_scheduler_type": "linear",
            "warmup_steps": int(steps * settings.warmup),
            "weight_decay": 0.01,
            "bf16": settings.bf16,
            "seed": settings.seed,
            "logging_steps": 50,
            "save_steps": SAVE_STEPS,
            "save_total_limit": 2,
            "eval_strategy": "epoch",
            "report_to": "none",
            **(BEST if settings.early_stopping else {}),
            "remove_unused_columns": False,
            "use_cpu": not torch.cuda.is_available(),
            "dataloader_pin_memory": torch.cuda.is_available(),
            **(settings.trainer or {}),
        }
        try:
            return TrainingArguments(**arguments)
        except (TypeError, ValueError) as error:
            raise InputError(f"transformers.TrainingArguments refuses its arguments: {error}") from None
