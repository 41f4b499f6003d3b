"""The Hugging Face Trainer with Block-Skim's objective. Resuming, DDP, bf16, schedules, logging are its own."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.data import Sampler
from transformers import ProgressCallback, Trainer, TrainingArguments
from transformers.trainer_pt_utils import get_length_grouped_indices

from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.training.cache import CachedObjective
from bskim_export.training.evaluate import ModelFigures
from bskim_export.training.length_drop import LengthDropObjective
from bskim_export.training.objective import SkimObjective, block_figures
from bskim_export.training.split_objective import PARTS, SplitObjective

PREDICTORS = ("model.predictors.", "model.retrieval.")
"""Before the names of an objective's parameters that are not the backbone's."""
COPIED = "model.retrieval.layer."
"""Before the names of those among them that begin as a copy of the backbone's."""
Measure = Callable[[BlockSkimForQuestionAnswering], ModelFigures]
"""Returns the figures of a model, as an Evaluation does."""


@dataclass(frozen=True)
class Rates:
    """Learning rates.

    backbone: paper: 3e-5, ALBERT 5e-5
    predictors: higher, because they start from nothing
    """

    backbone: float = 3e-5
    predictors: float = 1e-3


class SkimTrainer(Trainer):
    """Trains an objective, which returns "loss", "qa_loss" and "counts" for a batch, and perhaps "parts" of the loss.

    Args:
        objective: the model and its loss
        args: the Trainer's
        features: labelled windows, or whatever else the collator takes
        lengths: the number of tokens of each of them
        collator: makes batches of them
        rates: learning rates, both on the schedule of `args`
        measure: returns the figures that are logged whenever the Trainer evaluates
    """

    def __init__(
        self,
        objective: SkimObjective | CachedObjective | SplitObjective | LengthDropObjective,
        args: TrainingArguments,
        features: Sequence,
        lengths: Sequence[int],
        collator: Callable[[Sequence], dict[str, Tensor]],
        rates: Rates,
        measure: Measure,
    ):
        self._objective = objective
        self._rates = rates
        self._measure = measure
        self._lengths = lengths
        self._counts: Tensor | None = None
        self._qa_losses: list[Tensor] = []
        self._parts: list[Tensor] = []
        super().__init__(
            objective,
            args,
            data_collator=collator,
            train_dataset=features,
            eval_dataset=[features[0]],  # the Trainer wants one; `measure` brings its own
        )
        self.remove_callback(ProgressCallback)
        if not args.disable_tqdm:
            self.add_callback(BriefProgress)

    @property
    def windows(self) -> int:
        """Return the number of windows to train on."""
        return len(self._lengths)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Build AdamW with the two learning rates; biases and norms are not decayed."""
        if self.optimizer is None:
            # Four groups: backbone or predictors (a split model's of blocks included, but for its layer, which begins
            # trained), decayed or not. Those without parameters are left out.
            decayed = set(self.get_decay_parameter_names(self._objective))
            groups = [
                {
                    "params": [
                        p
                        for n, p in self._objective.named_parameters()
                        if p.requires_grad
                        and (n.startswith(PREDICTORS) and not n.startswith(COPIED)) == new
                        and (n in decayed) == decay
                    ],
                    "lr": self._rates.predictors if new else self._rates.backbone,
                    "weight_decay": self.args.weight_decay if decay else 0.0,
                }
                for new in (False, True)
                for decay in (False, True)
            ]
            kind, options = self.get_optimizer_cls_and_kwargs(
                self.args,
                self._objective,  # type: ignore[arg-type]  # it is annotated too narrowly: any module will do
            )
            self.optimizer = kind([g for g in groups if g["params"]], **options)
        return self.optimizer

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Return the objective's loss, and remember its parts for the log."""
        outputs = model(**inputs)
        self._qa_losses.append(outputs["qa_loss"])
        if "parts" in outputs:
            self._parts.append(outputs["parts"])
        self._counts = outputs["counts"] if self._counts is None else self._counts + outputs["counts"]
        return (outputs["loss"], outputs) if return_outputs else outputs["loss"]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the parts of the loss and the predictors' precision, recall and kept share since the last log."""
        if "loss" in logs and self._counts is not None:
            logs["qa_loss"] = torch.stack(self._qa_losses).mean().item()
            if self._parts:
                means = torch.stack(self._parts).mean(0).tolist()
                logs |= {f"{name}_loss": mean for name, mean in zip(PARTS, means, strict=True)}
            rows = zip(self._objective.model.skim.layers, self._counts.tolist(), strict=True)
            logs |= _flat({layer: block_figures(*counts) for layer, counts in rows}, "")
            self._qa_losses, self._parts = [], []
            self._counts = None
        super().log(logs, start_time)

    def evaluate(self, *args, **kwargs) -> dict[str, float]:
        """Measure the model and log its figures."""
        found = self._measure(self._objective.model)
        figures = {"eval_em": found["em"], "eval_f1": found["f1"]} | _flat(found["predictors"], "eval_")
        figures |= {f"eval_retrieved_{blocks}": share for blocks, share in found.get("retrieved", {}).items()}
        self.log(figures)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, figures)
        return figures

    def _get_train_sampler(self, train_dataset=None) -> Sampler:
        size = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return LengthGroups(self._lengths, size, self.args.seed)


class BriefProgress(ProgressCallback):
    """The Trainer's progress bar, with a line for each log instead of a dict of thirty figures."""

    def on_log(self, args, state, control, logs=None, **kwargs):
        """Write the losses or scores, and the share of blocks that each layer's predictor keeps."""
        if state.is_world_process_zero and self.training_bar is not None and logs:
            self.training_bar.write(f"step {state.global_step}: {brief(logs)}")


def brief(logs: dict[str, float]) -> str:
    """Return the main figures of a log as text.

    Example:
        >>> brief({"loss": 2.0, "qa_loss": 1.5, "layer_0_kept": 0.98, "layer_0_recall": 1.0, "epoch": 0.1})
        'loss 2.00, qa_loss 1.50; kept (answers kept) after layer 0: 98% (100%)'
    """
    named = ("loss", "qa_loss", *(f"{part}_loss" for part in PARTS[1:]), "eval_em", "eval_f1")
    retrieved = [name for name in logs if name.startswith("eval_retrieved_")]
    text = ", ".join(f"{name} {logs[name]:.2f}" for name in (*named, *retrieved, "train_runtime") if name in logs)
    kept = {name: value for name, value in logs.items() if name.endswith("_kept")}
    shares = [f"{n.split('_')[-2]}: {v:.0%} ({logs[n.replace('_kept', '_recall')]:.0%})" for n, v in kept.items()]
    return text + (f"; kept (answers kept) after layer {', '.join(shares)}" if shares else "")


class LengthGroups(Sampler):
    """Windows of like length together: on SQuAD a batch of 16 is then hardly padded.

    The order depends on the seed and the epoch alone, so that a resumed run meets the batches it would have met.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int):
        self._lengths = lengths
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Accelerate calls it."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed * 1000 + self._epoch)
        return iter(get_length_grouped_indices(self._lengths, self._batch_size, generator=generator))


def _flat(predictors: dict[int, dict[str, float]], prefix: str) -> dict[str, float]:
    """Return the figures of all layers under names of their own, such as "layer_0_kept"."""
    return {f"{prefix}layer_{i}_{name}": value for i, row in predictors.items() for name, value in row.items()}
