"""The PyTorch reference as a runner: each window alone, in the paper's order, with true removal."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from bskim_export.blocks import count_blocks
from bskim_export.bundle.manifest import Model
from bskim_export.errors import InputError
from bskim_export.model.outputs import ReferenceOutput
from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.runtime.leaving import leaves
from bskim_export.runtime.policy import Policy, Thresholds
from bskim_export.runtime.runner import NOT_JUDGED, WindowResult
from bskim_export.runtime.windows import Window

TIE = 1e-4
"""A keep probability this close to its threshold may fall either way by rounding alone. The distance is one of logits,
because rounding moves those: by as much at a threshold of 0.5, where it is 2.5e-5 of a probability, as at 0.001."""


@dataclass(eq=False)
class ReferenceResult(WindowResult):
    """The outcome of one window, and whether a decision was too close to call.

    tie: a keep probability lay within TIE of its threshold
    scored: every keep probability was a number
    """

    tie: bool = False
    scored: bool = True


class TorchReference:
    """A model as a `Runner`.

    Args:
        model: in fp32, in evaluation mode
        description: the same model, as the runtime knows it
    """

    alone = True

    def __init__(self, model: BlockSkimForQuestionAnswering, description: Model):
        self._model = model
        self.model = description
        self.skim_layers = model.skim.layers

    def run(
        self, windows: Sequence[Window], policy: Policy | None, protected: Sequence[int | None] | None = None
    ) -> list[ReferenceResult]:
        """Run windows, one by one; see `Runner.run`.

        Raises:
            InputError: a policy other than thresholds.
        """
        if policy is not None and not isinstance(policy, Thresholds):
            raise InputError("The PyTorch reference skims by thresholds only.")
        by_layer = {} if policy is None else {layer: t for layer, t in policy.by_layer.items() if t > 0}
        protected = protected or [None] * len(windows)
        return [self._run(w, by_layer, block) for w, block in zip(windows, protected, strict=True)]

    def _run(self, window: Window, thresholds: Mapping[int, float], protected: int | None) -> ReferenceResult:
        # No predictor decides about question blocks, nor about the one that is protected. But it may judge the one that
        # the question shares with the passage.
        blocks = count_blocks(window.length, self.model.block_size)
        stays = torch.arange(blocks) < window.question_blocks
        unjudged = torch.arange(blocks) < window.unjudged_blocks
        if protected is not None:
            stays[protected] = unjudged[protected] = True
        if window.states is None:
            out = self._model.reference(*torch_inputs(window), stays, thresholds)
        else:
            states = torch.from_numpy(window.states).flatten(0, 1)
            question = torch.arange(len(states)) < window.question_length
            out = self._model.reference_from(states, torch.from_numpy(window.is_token), question, stays, thresholds)
        result = ReferenceResult(
            out.start_logits.numpy(),
            out.end_logits.numpy(),
            out.dropped_after.numpy().astype(np.int16),
            tie=near_tie(out, unjudged, thresholds),
            scored=all(math.isfinite(p) for judged in out.scores.values() for p in judged.values()),
        )
        result.probabilities = np.full((len(self.skim_layers), blocks), NOT_JUDGED)
        # The reference itself knows of no leaving: it only drops blocks.
        may_leave = np.array(window.may_leave and protected is None)
        count = np.array(int((~unjudged).sum()))
        for layer, scores in out.scores.items():
            row = self.skim_layers.index(layer)
            judged = {b: -math.inf if math.isnan(p) else p for b, p in scores.items() if not unjudged[b]}
            result.probabilities[row, list(judged)] = list(judged.values())
            remaining = np.array(sum(p >= np.float32(thresholds[layer]) for p in judged.values()))
            if judged and leaves(may_leave, count, remaining):
                _leave(result, layer, row)
                break
        return result


def _leave(result: ReferenceResult, layer: int, row: int) -> None:
    """Let a window leave after a layer that refuses all that is left of it, and its question blocks with it.

    Args:
        row: of the layer, in the result's keep probabilities
    """
    result.leave(row)
    result.dropped_after = np.minimum(result.dropped_after, layer).astype(np.int16)
    result.start_logits[:] = -np.inf
    result.end_logits[:] = -np.inf


def torch_inputs(window: Window) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return a window's input_ids, attention_mask, token_type_ids and question_mask, int64 [S]."""
    positions = torch.arange(len(window.input_ids))
    return (
        torch.from_numpy(window.input_ids),
        (positions < window.length).long(),
        torch.from_numpy(window.token_type_ids),
        (positions < window.question_length).long(),
    )


def near_tie(out: ReferenceOutput, stays: torch.Tensor, thresholds: Mapping[int, float]) -> bool:
    """Return whether some decision of the reference was too close to call.

    Args:
        stays: bool [K], blocks that no predictor judges
    """
    # NaN is near nothing; `ReferenceResult.scored` tells of it.
    return any(
        abs(_logit(p) - _logit(thresholds[layer])) <= TIE and not stays[block]
        for layer, judged in out.scores.items()
        for block, p in judged.items()
    )


def _logit(probability: float) -> float:
    """Return the logit of a probability. Those next to 0 and 1 count as 1e-30 and 1 - 1e-7."""
    inside = min(max(probability, 1e-30), 1 - 1e-7)  # float32 has hardly a number between that and 1
    return math.log(inside / (1 - inside))
