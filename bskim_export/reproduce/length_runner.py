"""A Length-Adaptive Transformer at certain lengths in the place of a bundle's engines, and what its windows cost."""

from collections.abc import Sequence

import numpy as np
import torch

from bskim_export.bundle.manifest import Model
from bskim_export.errors import InputError
from bskim_export.evaluate.macs import position_macs
from bskim_export.model.length_adaptive import run_at_lengths
from bskim_export.model.outputs import SkimOutput
from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.runtime.policy import Policy
from bskim_export.runtime.runner import WindowResult
from bskim_export.runtime.windows import Window
from bskim_export.training.dense_runner import judged_results
from bskim_export.training.features import Collator, without_labels


class LengthRunner:
    """A model as a `Runner` whose layers lose tokens.

    Args:
        model: on any device, in evaluation mode
        description: its shapes and special positions
        collator: makes the model's inputs
        shares: see `model.length_adaptive.run_at_lengths`
    """

    alone = False

    def __init__(
        self, model: BlockSkimForQuestionAnswering, description: Model, collator: Collator, shares: Sequence[float]
    ):
        self.model = description
        self.skim_layers = model.skim.layers
        self._network = model
        self._collator = collator
        self._shares = shares

    @torch.no_grad()
    def run(
        self, windows: Sequence[Window], policy: Policy | None, protected: Sequence[int | None] | None = None
    ) -> Sequence[WindowResult]:
        """Run a batch of windows; see `Runner.run`.

        Raises:
            InputError: there is a policy.
        """
        if policy is not None:
            raise InputError("A Length-Adaptive Transformer has no predictors: it takes no policy.")
        size = self.model.block_size
        batch = self._collator([without_labels(w, size) for w in windows])
        ids, mask, types = (batch[name] for name in ("input_ids", "attention_mask", "token_type_ids"))
        start, end = run_at_lengths(self._network, ids, mask, types, self._shares)
        return judged_results(SkimOutput(start, end, {}), windows, size)


def macs_at_lengths(model: Model, tokens: int, shares: Sequence[float]) -> int:
    """Return the multiply-accumulates of a window of so many tokens.

    Args:
        tokens: that the window has; nothing is padded
        shares: see `model.length_adaptive.run_at_lengths`
    """
    left = np.maximum(1, np.ceil(tokens * np.array(shares) - 1e-6)).astype(np.int64)
    return int(position_macs(model, np.concatenate([[tokens], left]))) + int(tokens - left[-1]) * model.hidden_size * 2
