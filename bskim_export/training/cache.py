"""What the predictors of a frozen model read, kept on disk: the model runs once, and epochs cost seconds."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bskim_export.model.predictors.base import BlockView
from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.training.features import Collator, Feature
from bskim_export.training.objective import block_losses, count_blocks

DONE = "done.txt"
BATCH = 16


class ViewCache:
    """Memory-mapped float16 arrays, one for each layer and each field that its predictor reads.

    Args:
        folder: where they lie; a cache that was not finished is gone on with
        model: the frozen model, with its predictors
        features: labelled windows; the arrays hold their blocks end to end
        collator: makes the model's inputs
    """

    def __init__(
        self, folder: Path, model: BlockSkimForQuestionAnswering, features: Sequence[Feature], collator: Collator
    ):
        self._folder, self._model, self._features, self._collator = folder, model, features, collator
        self.reads = next(iter(model.predictors.values())).reads
        counts = np.array([len(f.block_labels) for f in features])
        self._start = np.concatenate([[0], np.cumsum(counts)])
        self._arrays: dict[tuple[int, str], np.memmap] = {}

    @property
    def fits(self) -> bool:
        """Return whether the arrays take at most half of the disk's free space. Whole maps are never kept."""
        if "probabilities" in self.reads:
            return False
        needed = sum(2 * np.prod(self._shape(i, name)) for i in self._model.skim.layers for name in self.reads)
        return needed <= shutil.disk_usage(self._folder.parent).free / 2

    def build(self, progress: Callable[[str, int, int], None], bf16: bool) -> None:
        """Run the model over all features that are not in the arrays yet."""
        self._folder.mkdir(exist_ok=True)
        marker = self._folder / DONE
        done = int(marker.read_text()) if marker.is_file() else 0
        mode = "r+" if done else "w+"
        for layer in self._model.skim.layers:
            for name in self.reads:
                path = self._folder / f"{layer}_{name}.bin"
                self._arrays[layer, name] = np.memmap(path, np.float16, mode, shape=self._shape(layer, name))
        device = next(self._model.parameters()).device
        for start in range(done, len(self._features), BATCH):
            part = self._features[start : start + BATCH]
            batch = {k: v.to(device) for k, v in self._collator(part).items()}
            with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                for layer, view in self._model.views(
                    *(batch[k] for k in ("input_ids", "attention_mask", "token_type_ids", "question_mask"))
                ):
                    self._write(layer, view, start, part)
            temporary = marker.with_suffix(".new")
            temporary.write_text(str(start + len(part)))
            temporary.replace(marker)
            progress("Running the frozen model", start + len(part), len(self._features))

    def _write(self, layer: int, view: BlockView, start: int, part: Sequence[Feature]) -> None:
        for name in self.reads:
            values = getattr(view, name).to(torch.float16).cpu().numpy()
            for row, feature in enumerate(part):
                begin = self._start[start + row]
                self._arrays[layer, name][begin : begin + len(feature.block_labels)] = values[
                    row, : len(feature.block_labels)
                ]

    def __call__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Return the batch of some features, by their numbers: question and real [B, K, k], block_labels [B, K], and
        "<layer>_<field>" [B, K, ...] of each array."""
        features = [self._features[i] for i in indices]
        inputs = self._collator(features)
        windows, blocks = inputs["block_labels"].shape
        batch = {
            "question": inputs["question_mask"].bool().reshape(windows, blocks, -1),
            "real": inputs["attention_mask"].bool().reshape(windows, blocks, -1),
            "block_labels": inputs["block_labels"],
        }
        for (layer, name), array in self._arrays.items():
            values = np.zeros((windows, blocks, *array.shape[1:]), np.float32)
            for row, (i, feature) in enumerate(zip(indices, features, strict=True)):
                n = len(feature.block_labels)
                values[row, :n] = array[self._start[i] : self._start[i] + n]
            batch[f"{layer}_{name}"] = torch.from_numpy(values)
        return batch

    def _shape(self, layer: int, name: str) -> tuple[int, ...]:
        size = self._model.skim.block_size
        shape = self._model.layer_shape(layer)
        one = {
            "diagonal": (shape.num_heads, size, size),
            "context": (size, shape.context_size),
            "residual": (size, shape.hidden_size),
        }[name]
        return (int(self._start[-1]), *one)


class CachedObjective(nn.Module):
    """The block loss of a frozen model's predictors on what a ViewCache holds.

    Shapes: as ViewCache returns them -> {"loss": scalar, "qa_loss": 0, "counts": int64 [layers, 4]}
    """

    def __init__(self, model: BlockSkimForQuestionAnswering, beta: float, reads: Sequence[str]):
        super().__init__()
        self.model, self._beta, self._reads = model, beta, reads
        model.backbone.requires_grad_(False)

    def train(self, mode: bool = True) -> "CachedObjective":
        """Switch to training mode; the frozen backbone stays in evaluation mode."""
        super().train(mode)
        self.model.backbone.eval()
        return self

    def forward(self, question: Tensor, real: Tensor, block_labels: Tensor, **arrays: Tensor) -> dict[str, Tensor]:
        logits = {
            layer: self.model.predictors[str(layer)](
                BlockView(question, real, **{name: arrays[f"{layer}_{name}"] for name in self._reads})
            )
            for layer in self.model.skim.layers
        }
        loss = sum(block_losses(logits, block_labels, self._beta))
        return {"loss": loss, "qa_loss": torch.zeros(()), "counts": count_blocks(logits, block_labels)}
