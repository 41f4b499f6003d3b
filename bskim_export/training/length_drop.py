"""What a Length-Adaptive Transformer learns: to answer at any lengths, by LengthDrop, sandwich rule and distillation.

Kim and Cho 2021, section 3.
"""

import random
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bskim_export.model.length_adaptive import run_at_lengths
from bskim_export.model.outputs import SkimOutput
from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.training.objective import qa_loss

SUBMODELS = 2
"""Drawn lengths at each step, beside the full model and the shortest."""
LAYER_DROP = 0.2
"""Probability that a layer of a shortened model does not run."""


class LengthDropObjective(nn.Module):
    """A model and its loss at several lengths at once, as one module that the Hugging Face Trainer can train.

    Each batch runs in full, where it learns the answers; and shortened, where it learns what the full run said.

    Args:
        model: without predictors
        drop: the share of tokens that a layer loses at most, the paper's p (0.2)
        seed: of lengths and layers

    Shapes: as Collator returns them -> {"loss": scalar, "qa_loss": scalar, "counts": int64 [0, 4]}
    """

    def __init__(self, model: BlockSkimForQuestionAnswering, drop: float, seed: int):
        super().__init__()
        self.model = model
        self.drop = drop
        self._seed = seed

    def forward(
        self, start_positions: Tensor, end_positions: Tensor, block_labels: Tensor, **inputs: Tensor
    ) -> dict[str, Tensor]:
        """Return the loss of a batch, the mean of its runs."""
        mask = inputs["attention_mask"]
        layers = self.model.config.num_hidden_layers
        # Drawn from the batch, so that a resumed run draws what it would have drawn.
        draw = random.Random(f"{self._seed} {int(inputs['input_ids'].sum())} {int(start_positions.sum())}")

        def run(shares: Sequence[float], left_out: Sequence[int] = ()) -> tuple[Tensor, Tensor]:
            return run_at_lengths(self.model, inputs["input_ids"], mask, inputs["token_type_ids"], shares, left_out)

        full = run([1.0] * layers)
        answer = qa_loss(SkimOutput(*full, {}), mask, start_positions, end_positions)
        loss = answer
        taught = [soften(logits.detach(), mask) for logits in full]
        shorter = [shortest(layers, self.drop), *(drawn(layers, self.drop, draw) for _ in range(SUBMODELS))]
        for shares in shorter:
            left_out = [i for i in range(layers) if draw.random() < LAYER_DROP]
            given = [soften(logits, mask) for logits in run(shares, left_out)]
            apart = [F.kl_div(a, b, reduction="batchmean", log_target=True) for a, b in zip(given, taught, strict=True)]
            loss = loss + sum(apart) / 2
        counts = torch.zeros(0, 4, dtype=torch.int64, device=mask.device)
        return {"loss": loss / (1 + len(shorter)), "qa_loss": answer.detach(), "counts": counts}


def soften(logits: Tensor, mask: Tensor) -> Tensor:
    """Return log-probabilities over tokens, float32 [B, S]; those of padding are as good as nothing."""
    return logits.float().masked_fill(mask == 0, torch.finfo(torch.float32).min).log_softmax(-1)


def shortest(layers: int, drop: float) -> list[float]:
    """Return the shares of tokens of the shortest model: every layer drops as much as it may.

    Example:
        >>> [round(share, 2) for share in shortest(3, 0.2)]
        [0.8, 0.64, 0.51]
    """
    return [(1 - drop) ** (i + 1) for i in range(layers)]


def drawn(layers: int, drop: float, draw: random.Random) -> list[float]:
    """Return shares of tokens, each drawn between what its layer may drop at most and nothing."""
    shares = []
    share = 1.0
    for _ in range(layers):
        share *= 1 - drop * draw.random()
        shares.append(share)
    return shares
