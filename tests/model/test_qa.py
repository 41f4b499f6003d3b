import torch
from support import SHAPE, make_model
from transformers import BertConfig

from bskim_export.blocks import KEPT


def window(blocks: int) -> list[torch.Tensor]:
    """Return the reference's inputs for one window whose first block holds the question."""
    positions = blocks * 32
    generator = torch.Generator().manual_seed(0)
    question = (torch.arange(positions) < 10).long()
    ids = torch.randint(5, 1000, (positions,), generator=generator)
    return [ids, torch.ones_like(ids), 1 - question, question]


def test_a_block_that_is_never_dropped_is_marked_kept_whatever_the_number_of_layers():
    model = make_model(BertConfig(**SHAPE), (0, 2))
    protected = torch.tensor([True, False, True, False])
    out = model.reference(*window(4), protected, {2: 1.1})
    assert out.dropped_after.dtype == torch.int16
    assert out.dropped_after.tolist() == [KEPT, 2, KEPT, 2]
    assert out.scores.keys() == {2}
    there = out.start_logits.isfinite().reshape(4, 32)
    assert torch.equal(there, protected[:, None].expand(4, 32))


def test_without_thresholds_that_bite_the_reference_is_the_plain_forward_pass():
    model = make_model(BertConfig(**SHAPE), (0, 2))
    inputs = window(3)
    out = model.reference(*inputs, torch.tensor([True, False, False]), {0: 0.0, 2: 0.0})
    with torch.no_grad():
        plain = model(*(one[None] for one in inputs))
    assert out.dropped_after.tolist() == [KEPT] * 3
    torch.testing.assert_close(out.start_logits, plain.start_logits[0])
    torch.testing.assert_close(out.end_logits, plain.end_logits[0])


def test_a_layers_predictor_is_found_by_its_number():
    model = make_model(BertConfig(**SHAPE), (0, 2))
    assert model.predictor(2) is model.predictors["2"]
    assert model.predictor(2).macs > 0
