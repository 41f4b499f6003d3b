"""What a split model learns: to answer from chosen blocks, to choose them, and both as a whole model would."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.model.retrieval import RetrievalPredictor, match
from bskim_export.model.split import ask, hidden_states, prepare, read, split_layer
from bskim_export.training.features import NO_LABEL
from bskim_export.training.objective import block_losses, count_blocks, document_loss, weigh

LEAST = torch.finfo(torch.float32).min
PARTS = ("answer", "retrieval", "logits", "states", "blocks")
"""The parts of the loss, in the order in which the objective returns them."""


@dataclass(frozen=True)
class SplitLosses:
    """The weights of the loss.

    retrieval: of the choice of blocks
    logits: of the divergence from a teacher's start and end logits
    states: of the squared distance from a teacher's hidden states above the split (DeFormer, section 3.2), over their
        variance
    alpha, beta, layer_weights: of the skim predictors, see LossSettings
    """

    retrieval: float = 1.0
    logits: float = 1.0
    states: float = 2.0
    alpha: float = 0.1
    beta: float = 5.0
    layer_weights: tuple[float, ...] | None = None


class SplitObjective(nn.Module):
    """A split model and its loss, as one module that the Hugging Face Trainer can train.

    Args:
        model: the split model
        losses: weights
        teacher: a model with the same tokenizer and layers that is not split; None to learn from answers alone

    Shapes: as PartCollator returns them -> {"loss": scalar, "qa_loss": scalar, "counts": int64 [layers, 4],
        "parts": float [5], the losses of PARTS}
    """

    def __init__(
        self,
        model: BlockSkimForQuestionAnswering,
        losses: SplitLosses,
        teacher: BlockSkimForQuestionAnswering | None = None,
    ):
        super().__init__()
        self.model = model
        self.losses = losses
        # Not a submodule: it is neither trained nor saved.
        self._teacher = (teacher.eval().requires_grad_(False),) if teacher is not None else ()

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """Return the loss of a batch of parts and its parts."""
        model = self.model
        retrieval = model.retrieval
        assert isinstance(retrieval, RetrievalPredictor)
        size = model.skim.block_size

        # Lower layers: every section and every question once.
        found = by_length(
            lambda ids, mask: torch.cat(prepare(model, ids, mask), -1),
            batch["section_ids"], batch["section_mask"], first=1,
        )  # fmt: skip
        found = found.unflatten(1, (-1, size)).flatten(0, 1).index_select(0, batch["kept"])
        states, sought = found.chunk(2, -1)  # [N, k, H]
        asked, wanted = ask(model, batch["question_ids"], batch["question_mask"])
        question = batch["question_mask"].bool()

        # Every block is scored for every question; those with an answer should be ahead of all others.
        scores = match(retrieval.queries(wanted, question), retrieval.features(sought, batch["real"]))  # [Q, N]
        chosen_loss = retrieval_loss(scores, batch["positive"])

        # Read what the scores would give, and sometimes the answer in any case.
        blocks = choose(scores.detach(), batch)  # [Q, M]
        there = blocks >= 0
        taken = blocks.clamp(min=0)
        # By index_select: the gradient of an index with repeats depends on which thread adds first.
        chosen = states.index_select(0, taken.flatten()).reshape(*taken.shape, *states.shape[1:])
        hidden = torch.cat([asked, chosen.flatten(1, 2).to(asked.dtype)], 1)
        is_token = (batch["real"][taken] & there[..., None]).flatten(1)
        real = torch.cat([question, is_token], 1)
        is_question = torch.cat([question, torch.zeros_like(is_token)], 1)
        out, upper = read(model, hidden, real, is_question)

        # Where the positions of what was read stand among those of all blocks; -1 for the question and for padding.
        positions = taken[..., None] * size + torch.arange(size, device=taken.device)
        positions = torch.where(is_token, positions.flatten(1), -1)
        positions = torch.cat([torch.full_like(question, -1, dtype=torch.int64), positions], 1)
        group = torch.arange(len(blocks), device=blocks.device)
        answer = (
            document_loss(out.start_logits, positions >= 0, place_of(batch["start"], positions), group)
            + document_loss(out.end_logits, positions >= 0, place_of(batch["end"], positions), group)
        ) / 2

        # The skim predictors above the split judge the chosen blocks.
        labels = torch.where(there, batch["positive"].gather(1, taken).long(), NO_LABEL)
        labels = F.pad(labels, (question.shape[1] // size, 0), value=NO_LABEL)
        skim = weigh(block_losses(out.skim_logits, labels, self.losses.beta), self.losses.layer_weights)

        # All that, and what a teacher makes of it.
        logits, distance = self._distill(out.start_logits, out.end_logits, upper, positions, batch)
        own = self.losses
        loss = answer + own.retrieval * chosen_loss + own.logits * logits + own.states * distance + own.alpha * skim
        parts = (answer, chosen_loss, logits, distance, skim)
        return {
            "loss": loss,
            "qa_loss": answer.detach(),
            "counts": count_blocks(out.skim_logits, labels),
            "parts": torch.stack([part.detach().to(loss.device) for part in parts]),
        }

    def _distill(
        self, start: Tensor, end: Tensor, upper: list[Tensor], positions: Tensor, batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return the divergence from a teacher's logits, and the distance from its states, on tokens that both read."""
        if not self._teacher:
            return start.sum() * 0, start.sum() * 0
        model, teacher = self.model, self._teacher[0]
        with torch.no_grad():
            taught = by_length(
                lambda ids, mask, types: hidden_states(teacher, ids, mask, types, split_layer(model)),
                batch["teacher_ids"], batch["teacher_mask"], batch["teacher_types"],
            )  # fmt: skip
            states, logits = taught[..., :-2].unflatten(-1, (len(upper), -1)), taught[..., -2:]
        # Where the paragraph's tokens stand in what the teacher read.
        first, count = batch["teacher_first"][:, None], batch["teacher_count"][:, None]
        shared = (positions >= first) & (positions < first + count)
        if not shared.any():
            return start.sum() * 0, start.sum() * 0
        place = (positions - first + batch["teacher_offset"][:, None]).where(shared, 0)

        def divergence(mine: Tensor, which: int) -> Tensor:
            wanted = logits[..., which].float().gather(1, place).masked_fill(~shared, LEAST).log_softmax(1)
            given = mine.float().masked_fill(~shared, LEAST).log_softmax(1)
            each = (wanted.exp() * (wanted - given)).masked_fill(~shared, 0).sum(1)
            return each[shared.any(1)].sum() / shared.any(1).sum().clamp(min=1)

        apart = (divergence(start, 0) + divergence(end, 1)) / 2

        # The states of the question are imitated too: it stands first in what both read.
        count = batch["question_mask"].sum(1, keepdim=True)
        asked = (torch.arange(place.shape[1], device=place.device) < count) & shared.any(1, keepdim=True)
        place = torch.arange(place.shape[1], device=place.device).where(asked, place)
        both = shared | asked
        row = torch.arange(len(place), device=place.device)[:, None].expand_as(place)[both]
        theirs = states[row, place[both]].float()
        # Over their variance, so that a model's layers count alike, and one weight does for every model.
        distances = [
            F.mse_loss(mine[both].float(), theirs[:, i]) / (theirs[:, i] - theirs[:, i].mean(0)).square().mean()
            for i, mine in enumerate(upper)
        ]
        return apart, torch.stack(distances).mean()


def by_length(run: Callable[..., Tensor], ids: Tensor, mask: Tensor, *more: Tensor, first: int = 0) -> Tensor:
    """Run rows of at most half the length and the longer ones apart, and return them as one batch: less is padding.

    Args:
        run: [R, L] each -> [R, L - first, ...]
        ids, mask, more: [R, L] each, the rows padded behind their tokens
    """
    length = ids.shape[1]
    half = first + -(-(length - first) // 64) * 32
    short = mask.sum(1) <= half
    rows = [part for part in (short.nonzero().flatten(), (~short).nonzero().flatten()) if len(part)]
    if len(rows) < 2:
        return run(ids, mask, *more)
    parts = []
    for own, width in zip(rows, (half, length), strict=True):
        found = run(*(values[own, :width] for values in (ids, mask, *more)))
        parts.append(torch.cat([found, found.new_zeros(len(own), length - width, *found.shape[2:])], 1))
    return torch.cat(parts).index_select(0, torch.cat(rows).argsort())


def retrieval_loss(scores: Tensor, positive: Tensor) -> Tensor:
    """Return the mean negative log-likelihood of the blocks with an answer among all blocks of the batch.

    Args:
        scores: [Q, N]
        positive: bool [Q, N]; a question without any counts nothing
    """
    found = scores.masked_fill(~positive, LEAST).logsumexp(1)
    each = scores.logsumexp(1) - found
    asked = positive.any(1)
    return each.where(asked, 0).sum() / asked.sum().clamp(min=1)


def choose(scores: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
    """Return the blocks that each question reads, int64 [Q, M] in order, -1 behind the last.

    Nearly as in `prepared.choosing.choose_blocks`: the best that it may read, each with its neighbours, until there is
    no room for the next. Those of the answer come first where they are forced, and all of them.

    Args:
        scores: [Q, N]
        batch: see PartCollator
    """
    readable, room = batch["readable"], int(batch["room"].max())
    rank = scores.masked_fill(~readable, LEAST).argsort(1, descending=True).argsort(1)
    same = batch["passage"][1:] == batch["passage"][:-1]

    def with_neighbours(wanted: Tensor) -> Tensor:
        around = wanted.clone()
        around[:, 1:] |= wanted[:, :-1] & same
        around[:, :-1] |= wanted[:, 1:] & same
        return around

    chosen = with_neighbours(batch["positive"] & batch["forced"][:, None])
    for best in range(1, room + 1):
        more = with_neighbours((rank < best) & readable) | chosen
        fits = more.sum(1, keepdim=True) <= room
        chosen = torch.where(fits, more, chosen)
    most = int(chosen.sum(1).max())
    number = torch.arange(chosen.shape[1], device=chosen.device)
    ordered = number.where(chosen, len(number)).sort(1).values[:, :most]
    return ordered.where(number[:most] < chosen.sum(1, keepdim=True), -1)


def place_of(token: Tensor, positions: Tensor) -> Tensor:
    """Return where a token stands in each row of positions, int64 [Q]; 0 where it does not.

    Args:
        token: int64 [Q], -1 for none
        positions: int64 [Q, S]
    """
    same = (positions == token[:, None]) & (token[:, None] >= 0)
    return same.long().argmax(1)
