"""A cache on disk of all that the predictors of a frozen model read. The model runs once; epochs then cost seconds."""

import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from bskim_export.model.predictors import PREDICTORS
from bskim_export.model.predictors.base import BlockView
from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.training.features import MODEL_INPUTS, Collator, Feature
from bskim_export.training.objective import block_losses, count_blocks

DONE = "done.txt"
"""The file that says how many windows the arrays hold."""
BATCH = 16
"""Windows that the frozen model runs together."""


class ViewCache:
    """Memory-mapped float16 arrays, one for each layer and each field that its predictor reads.

    Args:
        folder: where they lie; a cache that is there already, finished or not, is continued
        model: the frozen model, with its predictors
        features: labelled windows; the arrays hold their blocks end to end
        collator: makes the model's inputs
    """

    def __init__(
        self, folder: Path, model: BlockSkimForQuestionAnswering, features: Sequence[Feature], collator: Collator
    ):
        self._folder = folder
        self._model = model
        self._features = features
        self._collator = collator
        self.reads = PREDICTORS[model.skim.predictor].reads
        # The row of each window's first block, and last the number of rows.
        counts = np.array([len(f.block_labels) for f in features])
        self._start = np.concatenate([[0], np.cumsum(counts)])
        self._arrays: dict[tuple[int, str], np.memmap] = {}

    @property
    def fits(self) -> bool:
        """Return whether the arrays take at most half of the disk's free space. Whole maps are never kept."""
        if "probabilities" in self.reads:
            return False
        needed = sum(2 * math.prod(self._shape(i, name)) for i in self._model.skim.layers for name in self.reads)
        return needed <= shutil.disk_usage(self._folder.parent).free / 2

    def build(self, progress: Callable[[str, int, int], None], bf16: bool) -> None:
        """Run the model over all features that are not in the arrays yet."""
        # An interrupted cache continues behind the last batch that was written as a whole.
        self._folder.mkdir(exist_ok=True)
        marker = self._folder / DONE
        done = int(marker.read_text()) if marker.is_file() else 0
        mode: Literal["r+", "w+"] = "r+" if done else "w+"
        for layer in self._model.skim.layers:
            for name in self.reads:
                path = self._folder / f"{layer}_{name}.bin"
                self._arrays[layer, name] = np.memmap(path, np.float16, mode, shape=self._shape(layer, name))

        # Run the model batch by batch. What its predictors read is the same in every epoch, because it is frozen.
        device = next(self._model.parameters()).device
        for start in range(done, len(self._features), BATCH):
            part = self._features[start : start + BATCH]
            batch = {k: v.to(device) for k, v in self._collator(part).items()}
            with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                for layer, view in self._model.views(*(batch[name] for name in MODEL_INPUTS)):
                    self._write(layer, view, start, part)
            # The marker moves on only after the batch, and in one step: a reader sees the old number or the new one.
            temporary = marker.with_suffix(".new")
            temporary.write_text(str(start + len(part)))
            temporary.replace(marker)
            progress("Running the frozen model", start + len(part), len(self._features))

    def _write(self, layer: int, view: BlockView, start: int, part: Sequence[Feature]) -> None:
        """Store one layer's view of a batch whose first window is number `start`; padding blocks are left out."""
        for name in self.reads:
            values = getattr(view, name).to(torch.float16).cpu().numpy()
            for row, feature in enumerate(part):
                begin = self._start[start + row]
                blocks = len(feature.block_labels)
                self._arrays[layer, name][begin : begin + blocks] = values[row, :blocks]

    def __call__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Return the batch of some features.

        Args:
            indices: the numbers of the features

        Returns:
            question, real: bool [B, K, k]
            block_labels: int64 [B, K]
            <layer>_<field>: float32 [B, K, ...], one of each array
        """
        # Masks and labels come from the features themselves.
        features = [self._features[i] for i in indices]
        inputs = self._collator(features)
        windows, blocks = inputs["block_labels"].shape
        batch = {
            "question": inputs["question_mask"].bool().reshape(windows, blocks, -1),
            "real": inputs["attention_mask"].bool().reshape(windows, blocks, -1),
            "block_labels": inputs["block_labels"],
        }

        # The rest lies in the arrays end to end: cut out each window's blocks, and pad them to the longest window's.
        for (layer, name), array in self._arrays.items():
            values = np.zeros((windows, blocks, *array.shape[1:]), np.float32)
            for row, (i, feature) in enumerate(zip(indices, features, strict=True)):
                n = len(feature.block_labels)
                values[row, :n] = array[self._start[i] : self._start[i] + n]
            batch[f"{layer}_{name}"] = torch.from_numpy(values)
        return batch

    def _shape(self, layer: int, name: str) -> tuple[int, ...]:
        """Return the shape of one array."""
        size = self._model.skim.block_size
        shape = self._model.layer_shape(layer)
        one = {
            "diagonal": (shape.num_heads, size, size),
            "context": (size, shape.context_size),
            "residual": (size, shape.hidden_size),
        }[name]
        return (int(self._start[-1]), *one)


class CachedObjective(nn.Module):
    """The block loss of a frozen model's predictors, on batches of a ViewCache.

    Args:
        model: the frozen model; its predictors are trained
        beta: balance factor of positive blocks
        reads: the fields of BlockView that the predictors read

    Shapes: as ViewCache returns them -> {"loss": scalar, "qa_loss": 0, "counts": int64 [layers, 4]}
    """

    def __init__(self, model: BlockSkimForQuestionAnswering, beta: float, reads: Sequence[str]):
        super().__init__()
        self.model = model
        self._beta = beta
        self._reads = reads
        model.backbone.requires_grad_(False)

    def train(self, mode: bool = True) -> "CachedObjective":
        """Switch to training mode; the frozen backbone stays in evaluation mode."""
        super().train(mode)
        self.model.backbone.eval()
        return self

    def forward(self, question: Tensor, real: Tensor, block_labels: Tensor, **arrays: Tensor) -> dict[str, Tensor]:
        """Return the loss of a batch and its parts."""
        logits = {
            layer: self.model.predictors[str(layer)](
                BlockView(question, real, **{name: arrays[f"{layer}_{name}"] for name in self._reads})
            )
            for layer in self.model.skim.layers
        }
        loss = sum(block_losses(logits, block_labels, self._beta), start=torch.zeros(()))
        return {"loss": loss, "qa_loss": torch.zeros(()), "counts": count_blocks(logits, block_labels)}
