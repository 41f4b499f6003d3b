import math

import pytest
import torch

from bskim_export.model.outputs import SkimOutput
from bskim_export.training.objective import (
    LossSettings,
    SkimObjective,
    block_losses,
    count_blocks,
    qa_loss,
    run_by_length,
)
from bskim_export.training.trainer import LengthGroups


def test_block_loss_is_equation_2_with_the_balance_factor():
    logits = torch.tensor([[[0.0, 1.0], [2.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [0.0, 3.0], [5.0, 5.0]]])
    labels = torch.tensor([[1, 0, -100], [0, 1, -100]])

    def entropy(row, label):
        return math.log(sum(math.exp(x) for x in row)) - row[label]

    terms = [(20, entropy([0, 1], 1)), (1, entropy([2, 0], 0)), (1, entropy([1, 1], 0)), (20, entropy([0, 3], 1))]
    expected = sum(w * x for w, x in terms) / sum(w for w, _ in terms)
    (found,) = block_losses({3: logits}, labels, beta=20.0)
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_a_batch_without_labels_costs_nothing_but_keeps_the_graph():
    logits = torch.randn(2, 3, 2, requires_grad=True)
    (found,) = block_losses({0: logits}, torch.full((2, 3), -100), 20.0)
    assert found.item() == 0
    found.backward()


def test_padding_takes_no_part_in_the_answer_loss():
    start, end = torch.randn(2, 8), torch.randn(2, 8)
    mask = torch.tensor([[1] * 8, [1] * 5 + [0] * 3])
    places = torch.tensor([2, 3])
    expected = qa_loss(SkimOutput(start, end, {}), mask, places, places)
    start[1, 5:] = end[1, 5:] = 1e4
    assert qa_loss(SkimOutput(start, end, {}), mask, places, places) == expected


@pytest.mark.parametrize("predictor", ["question", "diagonal"])
def test_short_windows_that_run_apart_get_what_they_get_together(tiny, predictor):
    model = tiny("bert", (0, 1, 2), predictor).model.eval()
    torch.manual_seed(2)
    lengths = torch.tensor([160, 40, 150, 96, 97, 20])
    mask = (torch.arange(160) < lengths[:, None]).long()
    question = (torch.arange(160) < 9).long().expand(6, -1)
    batch = {
        "input_ids": torch.randint(5, 1000, (6, 160)) * mask,
        "attention_mask": mask,
        "token_type_ids": mask - question,
        "question_mask": question,
    }
    apart = run_by_length(model, batch)
    together = model(**batch)
    real = mask.bool()
    blocks = real.reshape(6, 5, 32).any(-1)
    torch.testing.assert_close(apart.start_logits[real], together.start_logits[real])
    torch.testing.assert_close(apart.end_logits[real], together.end_logits[real])
    for i, logits in together.skim_logits.items():
        torch.testing.assert_close(apart.skim_logits[i][blocks], logits[blocks])
    assert run_by_length(model, {name: x[:1] for name, x in batch.items()}).start_logits.shape == (1, 160)


def test_counts_are_of_labelled_blocks_only():
    logits = torch.tensor([[[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 9.0]]])
    assert count_blocks({0: logits}, torch.tensor([[1, 1, 0, -100]])).tolist() == [[3, 2, 2, 1]]


def test_alpha_and_layer_weights_weigh_the_sum_of_equation_3(tiny):
    model = tiny("bert", (0, 1, 2), "question").model
    torch.manual_seed(1)
    batch = {
        "input_ids": torch.randint(5, 1000, (2, 96)),
        "attention_mask": torch.ones(2, 96, dtype=torch.long),
        "token_type_ids": torch.zeros(2, 96, dtype=torch.long),
        "question_mask": (torch.arange(96) < 9).long().expand(2, -1),
        "start_positions": torch.tensor([40, 50]),
        "end_positions": torch.tensor([42, 52]),
        "block_labels": torch.tensor([[-100, 1, 0], [-100, 1, 0]]),
    }

    def loss(**changes):
        return SkimObjective(model, LossSettings(**changes)).eval()(**batch)

    plain = loss(alpha=0.0)
    layers = [
        loss(alpha=1.0, layer_weights=weights)["loss"] - plain["loss"]
        for weights in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    ]
    assert plain["loss"] == plain["qa_loss"]
    torch.testing.assert_close(loss(alpha=0.1)["loss"], plain["loss"] + 0.1 * sum(layers))
    weighed = loss(alpha=0.5, layer_weights=(2.0, 1.0, 0.0))["loss"]
    torch.testing.assert_close(weighed, plain["loss"] + 0.5 * (2 * layers[0] + layers[1]))
    assert loss(alpha=0.0, skim=True)["loss"] != plain["loss"]


def test_batches_hold_windows_of_like_length_and_depend_on_seed_and_epoch_alone():
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(20, 384, (1000,), generator=generator).tolist()
    sampler = LengthGroups(lengths, 16, seed=7)
    order = list(sampler)
    assert sorted(order) == list(range(1000))
    torch.rand(5)  # nobody else's randomness matters
    assert list(LengthGroups(lengths, 16, seed=7)) == order
    sampler.set_epoch(1)
    assert list(sampler) != order
    padded = sum(16 * max(lengths[i] for i in order[s : s + 16]) for s in range(0, 1000, 16))
    assert padded < 1.1 * sum(lengths)
