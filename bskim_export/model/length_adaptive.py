"""A Length-Adaptive Transformer: after each layer's attention only its most attended tokens go on, and at the end all
are back.

G. Kim, K. Cho: Length-Adaptive Transformer: Train Once with Length Drop, Use Anytime with Search. ACL 2021. It is a
baseline of the Block-Skim paper. Which tokens are attended to most is PoWER-BERT's measure (Goyal et al. 2020).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from bskim_export.model.attention import WindowAttention
from bskim_export.model.qa import BlockSkimForQuestionAnswering


def run_at_lengths(
    model: BlockSkimForQuestionAnswering,
    input_ids: Tensor,
    attention_mask: Tensor,
    token_type_ids: Tensor,
    shares: Sequence[float],
    left_out: Sequence[int] = (),
) -> tuple[Tensor, Tensor]:
    """Return start and end logits, [B, S] each.

    The tokens that a layer drops skip the rest of that layer and all later ones. The head reads what they were last
    ("drop and restore"), so that each position has logits.

    Args:
        input_ids, attention_mask, token_type_ids: int64 [B, S], padding behind the tokens
        shares: of each layer, the share of a window's tokens that go on behind its attention, from 1 down; `[CLS]`
            always does
        left_out: layers that do not run (LayerDrop, in training)

    Raises:
        CheckpointError: the model is split.
    """
    model.skim.require_whole()
    hidden = model.family.embedder(model.backbone)(input_ids, token_type_ids, None)
    real = attention_mask.bool()
    tokens = real.sum(1)
    # What each position was last, and behind these a place for what is none: a row may have fewer tokens than others.
    length = hidden.shape[1]
    last = F.pad(hidden, (0, 0, 0, 1))
    place = torch.arange(length, device=hidden.device).expand(real.shape)
    dropout = model.family.attention_dropout if model.backbone.training else 0.0
    for i, layer in enumerate(model.family.layers(model.backbone)):
        if i in left_out:
            continue
        attend = WindowAttention(real, dropout, with_map=shares[i] < 1)
        context = model.family.context(layer, hidden, attend)
        if shares[i] < 1:
            assert attend.probabilities is not None
            chosen, stays = most_attended(attend.probabilities.detach(), real, kept_tokens(tokens, shares[i]))
            hidden, context = (take(values, chosen) for values in (hidden, context))
            place, real = place.gather(1, chosen).where(stays, length), stays
        hidden = model.family.rest(layer, context, hidden)
        last = last.scatter(1, place[..., None].expand_as(hidden), hidden.to(last.dtype))
    start, end = model.family.head(model.backbone)(last[:, :length]).unbind(-1)
    return start, end


def kept_tokens(tokens: Tensor, share: float) -> Tensor:
    """Return how many tokens of each window go on, int64 [B]: a share of all that it began with, at least one."""
    return torch.ceil(tokens * share - 1e-6).long().clamp(min=1)


def most_attended(probabilities: Tensor, real: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Return the places of the most attended tokens, in order, int64 [B, M], and which are tokens, bool [B, M].

    Args:
        probabilities: [B, heads, S, S], the attention map; a token's significance is the sum of its column, over all
            heads and all tokens that ask
        real: bool [B, S], tokens; the first is `[CLS]`, which stays
        count: int64 [B], tokens that stay
    """
    asks = real[:, None, :, None]
    significance = (probabilities * asks).sum((1, 2)).float()
    significance[:, 0] = math.inf
    significance = significance.masked_fill(~real, -math.inf)
    count = torch.minimum(count, real.sum(1))
    most = int(count.max())
    rank = significance.argsort(dim=1, descending=True, stable=True)[:, :most]
    stays = torch.arange(most, device=rank.device) < count[:, None]
    # In the order in which they stood, those of no use last.
    rank = rank.where(stays, rank.new_tensor(real.shape[1]))
    chosen = rank.sort(1).values
    return chosen.clamp(max=real.shape[1] - 1), stays


def take(values: Tensor, places: Tensor) -> Tensor:
    """Return values [B, S, H] at places [B, M], [B, M, H]."""
    return values.gather(1, places[..., None].expand(*places.shape, values.shape[-1]))
