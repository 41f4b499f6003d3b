"""The training objective: equation 3 of the paper with its ablations, and the block counts of a batch for the log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bskim_export.model.outputs import SkimOutput
from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.training.features import NO_LABEL


@dataclass(frozen=True)
class LossSettings:
    """The weights of the loss, and what it trains.

    alpha: harmony factor of the block loss (paper: 0.1; ALBERT 0.01). 0 trains the question-answering model alone.
    beta: balance factor of positive blocks (paper, Table 1)
    layer_weights: the weight of each predictor's loss, first to last; None for 1 each, as in the paper
    frozen: the model's own weights stay as they are, only the predictors learn (Table 3, row 3)
    skim: refused blocks are invisible to later layers (Table 3, row 4)
    """

    alpha: float = 0.1
    beta: float = 20.0
    layer_weights: tuple[float, ...] | None = None
    frozen: bool = False
    skim: bool = False


class SkimObjective(nn.Module):
    """A model and its loss, as one module that the Hugging Face Trainer can train.

    Shapes:
        input_ids, attention_mask, token_type_ids, question_mask: int64 [B, S]
        start_positions, end_positions: int64 [B]; block_labels: int64 [B, K]
        group: int64 [B], the question of each window, for `document_loss`; default: `qa_loss`
        -> {"loss": scalar, "qa_loss": scalar, "counts": int64 [layers, 4]}, see `count_blocks`
    """

    def __init__(self, model: BlockSkimForQuestionAnswering, settings: LossSettings):
        super().__init__()
        self.model = model
        self.settings = settings
        if settings.frozen:
            model.backbone.requires_grad_(False)

    def train(self, mode: bool = True) -> "SkimObjective":
        """Switch to training mode; a frozen backbone stays in evaluation mode, without dropout."""
        super().train(mode)
        if self.settings.frozen:
            self.model.backbone.eval()
        return self

    def forward(
        self,
        start_positions: Tensor,
        end_positions: Tensor,
        block_labels: Tensor,
        group: Tensor | None = None,
        **inputs: Tensor,
    ) -> dict[str, Tensor]:
        """Return the loss of a batch and its parts."""
        skim = 0.5 if self.settings.skim else None
        out = self.model(**inputs, skim=skim) if group is None else run_by_length(self.model, inputs, skim)

        # Equation 2 of each layer, weighed and summed up.
        blocks = weigh(block_losses(out.skim_logits, block_labels, self.settings.beta), self.settings.layer_weights)

        # Equation 3. A frozen model's answers do not change, so only the blocks count.
        if group is None:
            answer = qa_loss(out, inputs["attention_mask"], start_positions, end_positions)
        else:
            passage = (inputs["attention_mask"] == 1) & (inputs["question_mask"] == 0)
            answer = (
                document_loss(out.start_logits, passage, start_positions, group)
                + document_loss(out.end_logits, passage, end_positions, group)
            ) / 2
        loss = blocks if self.settings.frozen else answer + self.settings.alpha * blocks
        return {"loss": loss, "qa_loss": answer.detach(), "counts": count_blocks(out.skim_logits, block_labels)}


def run_by_length(
    model: BlockSkimForQuestionAnswering, inputs: Mapping[str, Tensor], skim: float | None = None
) -> SkimOutput:
    """Run the windows of at most half the batch's length and the longer ones apart, and return them as one batch.

    Passages of a paragraph stand beside windows of whole documents there: padded to these, they took a fifth of the
    time.

    Args:
        inputs: what the model takes, [B, S] each
        skim: see `BlockSkimForQuestionAnswering.forward`
    """
    size = model.skim.block_size
    length = inputs["input_ids"].shape[1]
    half = -(-length // size // 2) * size
    short = inputs["attention_mask"].sum(1) <= half
    rows = [part for part in (short.nonzero().flatten(), (~short).nonzero().flatten()) if len(part)]
    if len(rows) < 2:
        return model(**inputs, skim=skim)
    parts = []
    for own, width in zip(rows, (half, length), strict=True):
        out = model(**{name: values[own, :width] for name, values in inputs.items()}, skim=skim)
        more = length - width
        blocks = {i: F.pad(logits, (0, 0, 0, more // size)) for i, logits in out.skim_logits.items()}
        parts.append(SkimOutput(F.pad(out.start_logits, (0, more)), F.pad(out.end_logits, (0, more)), blocks))
    back = torch.cat(rows).argsort()
    return SkimOutput(
        torch.cat([part.start_logits for part in parts])[back],
        torch.cat([part.end_logits for part in parts])[back],
        {i: torch.cat([part.skim_logits[i] for part in parts])[back] for i in parts[0].skim_logits},
    )


def qa_loss(out: SkimOutput, attention_mask: Tensor, start_positions: Tensor, end_positions: Tensor) -> Tensor:
    """Return the mean cross-entropy of answer starts and ends over the real tokens of each window."""
    least = torch.finfo(torch.float32).min
    padding = attention_mask == 0
    start = F.cross_entropy(out.start_logits.float().masked_fill(padding, least), start_positions)
    end = F.cross_entropy(out.end_logits.float().masked_fill(padding, least), end_positions)
    return (start + end) / 2


def document_loss(logits: Tensor, passage: Tensor, positions: Tensor, group: Tensor) -> Tensor:
    """Return the mean negative log-likelihood of the answers of some questions, each of one or more windows.

    All windows of a question share one normalisation (Clark and Gardner 2018, section 3.3), on the scale "null" of
    `runtime.scoring.best_answers`: each window's logits are measured from that of its own [CLS], and one null stands
    beside the passage tokens of them all. Of several windows with the answer, any one may find it.

    Args:
        logits: [B, S], of starts or of ends
        passage: bool [B, S], which positions are candidates
        positions: int64 [B], the answer; 0, [CLS], where the window has none
        group: int64 [B], the question of each window, from 0 up
    """
    # Log-odds against "not in this window", [B, S].
    odds = logits.float() - logits.float()[:, :1]
    least = torch.finfo(torch.float32).min
    mass = odds.masked_fill(~passage, least).logsumexp(1)
    has_answer = positions > 0
    gold = odds.gather(1, positions[:, None]).squeeze(1)

    # Put each question's windows into a row of their own, [Q, B]. The null has log-odds 0.
    questions = int(group.max()) + 1
    own = group == torch.arange(questions, device=group.device)[:, None]
    null = torch.zeros(questions, 1, device=odds.device)
    whole = torch.cat([null, mass.expand(questions, -1).masked_fill(~own, least)], 1).logsumexp(1)
    found = gold.expand(questions, -1).masked_fill(~(own & has_answer), least).logsumexp(1)
    answered = (own & has_answer).any(1)
    return (whole - torch.where(answered, found, torch.zeros_like(found))).mean()


def block_losses(skim_logits: Mapping[int, Tensor], labels: Tensor, beta: float) -> list[Tensor]:
    """Return the block loss (equation 2) of each layer.

    As in the paper's released code, it is a mean over the passage blocks of the batch in which a positive block counts
    `beta` times.

    Args:
        skim_logits: per layer, [B, K, 2]
        labels: int64 [B, K]; NO_LABEL where there is none
    """
    # Without labels the mean would be 0/0. The zero still depends on the logits: backward needs a graph.
    flat = labels.flatten()
    if not (flat != NO_LABEL).any():
        return [logits.sum() * 0 for logits in skim_logits.values()]

    # With class weights, cross_entropy divides by the sum of the weights: a weighted mean.
    weight = torch.tensor([1.0, beta], device=labels.device)
    return [
        F.cross_entropy(logits.float().flatten(0, 1), flat, weight, ignore_index=NO_LABEL)
        for logits in skim_logits.values()
    ]


def weigh(losses: Sequence[Tensor], weights: Sequence[float] | None) -> Tensor:
    """Return the sum of the layers' losses, each times its weight; without weights, 1 each."""
    weights = weights or (1.0,) * len(losses)
    return sum((w * one for w, one in zip(weights, losses, strict=True)), start=torch.zeros(()))


@torch.no_grad()
def count_blocks(skim_logits: Mapping[int, Tensor], labels: Tensor, threshold: float = 0.5) -> Tensor:
    """Return how predictions and labels agree.

    Args:
        skim_logits: per layer, [..., K, 2]
        labels: int64 [..., K]; NO_LABEL where there is none
        threshold: keep probability from which a block is kept

    Returns:
        int64 [layers, 4]: labelled blocks, positive ones, kept ones, and those that are positive and kept
    """
    labelled = labels != NO_LABEL
    positive = labels == 1
    rows = []
    for logits in skim_logits.values():
        kept = (logits.float().softmax(-1)[..., 1] >= threshold) & labelled
        rows.append(torch.stack([labelled.sum(), positive.sum(), kept.sum(), (kept & positive).sum()]))
    return torch.stack(rows) if rows else torch.zeros(0, 4, dtype=torch.int64)


def block_figures(labelled: int, positive: int, kept: int, both: int) -> dict[str, float]:
    """Return precision, recall and kept share of predictions.

    Example:
        >>> block_figures(10, 2, 4, 1)
        {'precision': 0.25, 'recall': 0.5, 'kept': 0.4}
    """
    return {
        "precision": both / kept if kept else 0.0,
        "recall": both / positive if positive else 0.0,
        "kept": kept / labelled if labelled else 0.0,
    }
