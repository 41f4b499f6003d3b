"""Length-Adaptive Transformers, against the same thing written with true removal, one window at a time."""

import math

import pytest
import torch
from support import FAMILIES, SHAPE, make_model
from transformers import BertConfig

from bskim_export.model.length_adaptive import kept_tokens, most_attended, run_at_lengths


def window(tokens: int, seed: int, length: int, pad: int):
    ids = torch.randint(5, 1900, (tokens,), generator=torch.Generator().manual_seed(seed))
    rest = torch.full((length - tokens,), pad)
    return torch.cat([ids, rest]), (torch.arange(length) < tokens).long()


class Plain:
    """Attention as it is in books, which keeps its map."""

    def __call__(self, query, key, value, scaling):
        query, key, value = (t.transpose(1, 2) for t in (query, key, value))
        self.map = (query @ key.transpose(-1, -2) * scaling).softmax(-1)
        return (self.map @ value).transpose(1, 2).flatten(2)


def by_hand(model, ids: torch.Tensor, shares) -> torch.Tensor:
    """Return the logits of one window without padding, [S, 2]."""
    hidden = model.family.embedder(model.backbone)(ids[None], torch.zeros_like(ids)[None], None)
    last = hidden[0].clone()
    place = torch.arange(len(ids))
    for layer, share in zip(model.family.layers(model.backbone), shares, strict=True):
        attend = Plain()
        context = model.family.context(layer, hidden, attend)
        significance = attend.map[0].sum((0, 1))
        significance[0] = math.inf
        stays = significance.topk(min(math.ceil(len(ids) * share - 1e-6), len(place))).indices.sort().values
        hidden, place = model.family.rest(layer, context[:, stays], hidden[:, stays]), place[stays]
        last[place] = hidden[0]
    return model.family.head(model.backbone)(last)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_dropped_tokens_are_removed_and_come_back_as_they_were(family):
    kind, extra = FAMILIES[family]
    model = make_model(kind(**SHAPE, **extra), ()).eval()
    pad = model.config.pad_token_id
    rows = [window(n, n, 64, pad) for n in (64, 40, 7)]
    ids, mask = (torch.stack(parts) for parts in zip(*rows, strict=True))
    shares = [0.9, 0.55, 0.3]
    start, end = run_at_lengths(model, ids, mask, torch.zeros_like(ids), shares)
    for row, n in enumerate((64, 40, 7)):
        expected = by_hand(model, ids[row, :n], shares)
        torch.testing.assert_close(torch.stack([start, end], -1)[row, :n], expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_at_full_length_it_is_the_model_itself():
    model = make_model(BertConfig(**SHAPE), ()).eval()
    ids, mask = (one[None] for one in window(40, 1, 64, 0))
    types = (torch.arange(64) > 10).long()[None] * mask
    out = model(ids, mask, types)
    start, end = run_at_lengths(model, ids, mask, types, [1.0] * 3)
    torch.testing.assert_close(start[:, :40], out.start_logits[:, :40])
    torch.testing.assert_close(end[:, :40], out.end_logits[:, :40])


@torch.no_grad()
def test_layers_that_are_left_out_do_nothing():
    model = make_model(BertConfig(**SHAPE), ()).eval()
    ids, mask = (one[None] for one in window(30, 2, 32, 0))
    start, _ = run_at_lengths(model, ids, mask, torch.zeros_like(ids), [0.9] * 3, left_out=(0, 1, 2))
    hidden = model.family.embedder(model.backbone)(ids, torch.zeros_like(ids), None)
    torch.testing.assert_close(start, model.family.head(model.backbone)(hidden)[..., 0])


def test_cls_stays_and_of_equals_the_first():
    even = torch.full((1, 2, 6, 6), 0.25)  # whose sums are exact
    real = torch.tensor([[True] * 5 + [False]])
    chosen, stays = most_attended(even, real, torch.tensor([3]))
    assert chosen[stays].tolist() == [0, 1, 2]
    least = even.clone()
    least[..., 0] = 0
    least[..., 4] = 1
    chosen, stays = most_attended(least, real, torch.tensor([2]))
    assert chosen[0].tolist() == [0, 4]
    # More than there are: all of them, padding never.
    chosen, stays = most_attended(even, real, torch.tensor([6]))
    assert chosen[0, stays[0]].tolist() == [0, 1, 2, 3, 4]


def test_shares_are_of_what_a_window_began_with():
    assert kept_tokens(torch.tensor([10, 7, 1]), 0.3).tolist() == [3, 3, 1]
    assert kept_tokens(torch.tensor([10]), 0.7).tolist() == [7]  # not 8 by rounding
