"""A model in training as a runner: every block is computed, as in training, and every predictor judges all of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from bskim_export.blocks import KEPT
from bskim_export.bundle.manifest import Model
from bskim_export.errors import InputError
from bskim_export.model.outputs import SkimOutput
from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.runtime.policy import Policy
from bskim_export.runtime.runner import WindowResult
from bskim_export.runtime.windows import Window
from bskim_export.training.features import MODEL_INPUTS, Collator, without_labels


@dataclass(eq=False)
class JudgedResult(WindowResult):
    """The outcome of one window, and how the predictors judge its blocks.

    skim_logits: of each layer that has a predictor, float32 [K, 2] on the CPU; class 1 is keep
    """

    skim_logits: dict[int, Tensor] = field(default_factory=dict)


class DenseRunner:
    """A model as a `Runner` that drops nothing.

    Args:
        model: on any device, in evaluation mode
        description: its shapes and special positions
        collator: makes the model's inputs
    """

    alone = False

    def __init__(self, model: BlockSkimForQuestionAnswering, description: Model, collator: Collator):
        self.model = description
        self.skim_layers = model.skim.layers
        self._network = model
        self._collator = collator

    @torch.no_grad()
    def run(
        self, windows: Sequence[Window], policy: Policy | None, protected: Sequence[int | None] | None = None
    ) -> list[JudgedResult]:
        """Run a batch of windows; see `Runner.run`. Every block stays, so `protected` changes nothing.

        Raises:
            InputError: there is a policy.
        """
        if policy is not None:
            raise InputError("A model in training runs all blocks: it takes no policy.")
        size = self.model.block_size
        device = next(self._network.parameters()).device
        batch = self._collator([without_labels(w, size) for w in windows])
        out = self._network(**{name: batch[name].to(device) for name in MODEL_INPUTS})
        return judged_results(out, windows, size)


def judged_results(out: SkimOutput, windows: Sequence[Window], block_size: int) -> list[JudgedResult]:
    """Return the outcome of each window of a batch, without what padded it to the longest.

    Args:
        out: of windows that stand in rows, no block of which was dropped
    """
    starts = out.start_logits.float().cpu().numpy()
    ends = out.end_logits.float().cpu().numpy()
    judged = {layer: logits.float().cpu() for layer, logits in out.skim_logits.items()}
    results = []
    for row, window in enumerate(windows):
        positions = len(window.input_ids)
        blocks = positions // block_size
        results.append(
            JudgedResult(
                starts[row, :positions],
                ends[row, :positions],
                np.full(blocks, KEPT, np.int16),
                skim_logits={layer: logits[row, :blocks] for layer, logits in judged.items()},
            )
        )
    return results
