"""The objective of Length-Adaptive Transformers."""

import copy
import itertools
import random

import pytest
import torch

from bskim_export.errors import InputError
from bskim_export.training import length_drop
from bskim_export.training.length_drop import LengthDropObjective, drawn, shortest, soften
from bskim_export.training.objective import LossSettings, SkimObjective
from bskim_export.training.settings import TrainSettings


@pytest.fixture(scope="module")
def model(tiny):
    found = copy.deepcopy(tiny("bert", ()).model)
    found.set_dropout(0.0)
    return found


@pytest.fixture(scope="module")
def batch():
    torch.manual_seed(0)
    mask = (torch.arange(96) < torch.tensor([[96], [50]])).long()
    return {
        "input_ids": torch.randint(5, 1000, (2, 96)) * mask,
        "attention_mask": mask,
        "token_type_ids": torch.zeros(2, 96, dtype=torch.long),
        "question_mask": (torch.arange(96) < 9).long().expand(2, -1),
        "start_positions": torch.tensor([40, 20]),
        "end_positions": torch.tensor([42, 22]),
        "block_labels": torch.tensor([[-100, 1, 0], [1, 0, -100]]),
    }


def test_the_full_run_learns_the_answers(model, batch):
    plain = SkimObjective(model, LossSettings(alpha=0.0)).eval()(**batch)["qa_loss"]
    out = LengthDropObjective(model, 0.2, 1).eval()(**batch)
    torch.testing.assert_close(out["qa_loss"], plain)
    assert out["counts"].shape == (0, 4)
    assert torch.isfinite(out["loss"])


def test_shortened_runs_that_say_the_same_cost_nothing(model, batch, monkeypatch):
    monkeypatch.setattr(length_drop, "LAYER_DROP", 0.0)
    out = LengthDropObjective(model, 1e-9, 1).eval()(**batch)  # nothing is dropped: all tokens stay
    torch.testing.assert_close(out["loss"], out["qa_loss"] / 4)


def test_only_the_full_run_hears_of_the_answers(model, batch, monkeypatch):
    """The teacher's side has no gradient: with the answer's part taken away, what is left is a distillation."""
    one = LengthDropObjective(copy.deepcopy(model), 0.5, 1).train()
    out = one(**batch)
    (out["loss"] * 4).backward()
    whole = {n: p.grad.clone() for n, p in one.named_parameters() if p.grad is not None}
    monkeypatch.setattr(length_drop, "SUBMODELS", 0)
    monkeypatch.setattr(length_drop, "shortest", lambda layers, drop: [1.0] * layers)
    monkeypatch.setattr(length_drop, "LAYER_DROP", 0.0)
    one.zero_grad()
    (one(**batch)["loss"] * 2).backward()
    answer = {n: p.grad for n, p in one.named_parameters() if p.grad is not None}
    assert any(not torch.allclose(whole[n], answer[n]) for n in answer)
    plain = SkimObjective(copy.deepcopy(model), LossSettings(alpha=0.0)).train()
    plain(**batch)["loss"].backward()
    for name, parameter in plain.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(answer[name], parameter.grad, atol=1e-5, rtol=1e-3)


def test_the_same_batch_draws_the_same_lengths(model, batch):
    losses = {LengthDropObjective(model, 0.3, seed).eval()(**batch)["loss"].item() for seed in (1, 1, 2)}
    assert len(losses) == 2


def test_lengths_fall_by_the_drop_at_most():
    draw = random.Random(0)
    for _ in range(50):
        shares = [1.0, *drawn(6, 0.2, draw)]
        assert all(0.8 * a <= b <= a for a, b in itertools.pairwise(shares))
    assert shortest(2, 0.5) == [0.5, 0.25]


def test_padding_has_no_part_in_what_is_taught():
    mask = torch.tensor([[1, 1, 0]])
    torch.testing.assert_close(soften(torch.tensor([[0.0, 0.0, 99.0]]), mask)[0, :2].exp(), torch.tensor([0.5, 0.5]))


@pytest.mark.parametrize("name", ["freeze", "skim_training", "evidence"])
def test_what_is_about_predictors_is_refused(name):
    with pytest.raises(InputError, match=f"length_drop and {name} exclude each other"):
        TrainSettings("m", "d", length_drop=0.2, **{name: True})
