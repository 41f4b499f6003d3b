import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bskim_export.model.families.base import LayerShape
from bskim_export.model.predictors.base import BlockView
from bskim_export.model.predictors.diagonal import DiagonalPredictor, InferencePredictor


def shape(heads: int) -> LayerShape:
    return LayerShape(heads, 8, 8 * heads)


def trained(heads: int, block_size: int = 32, seed: int = 0) -> DiagonalPredictor:
    """Return a predictor in double precision whose weights and BatchNorm statistics are all far from their defaults."""
    torch.manual_seed(seed)
    predictor = DiagonalPredictor(shape(heads), block_size).double().eval()
    with torch.no_grad():
        for norm in (predictor.bn1, predictor.bn2):
            norm.weight.normal_(0, 2)  # negative ones too: they turn a channel around before its ReLU
            norm.bias.normal_()
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.01, 3)
        predictor.fc.bias.normal_()
    return predictor


def attention_maps(count: int, heads: int, block_size: int) -> torch.Tensor:
    """Return diagonal blocks as attention makes them: parts of rows that sum to one."""
    return (3 * torch.randn(count, heads, block_size, 4 * block_size, dtype=torch.double)).softmax(-1)[..., :block_size]


@pytest.mark.parametrize("block_size", [1, 2, 8, 9, 32])
@pytest.mark.parametrize("heads", [4, 12, 16, 20])
def test_inference_form_gives_the_keep_probability_of_the_trained_form(heads, block_size):
    predictor = trained(heads, block_size)
    diagonal = attention_maps(40, heads, block_size)
    with torch.no_grad():
        expected = predictor.classify(diagonal).softmax(-1)[:, 1]
        found = InferencePredictor(predictor).eval()(diagonal)
    assert found.shape == (40,)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert expected.std() > 1e-4  # the blocks differ, so that a constant would not pass


def test_inference_form_agrees_in_single_precision():
    predictor = trained(12).float()
    diagonal = attention_maps(40, 12, 32).float()
    with torch.no_grad():
        torch.testing.assert_close(
            InferencePredictor(predictor)(diagonal), predictor.classify(diagonal).softmax(-1)[:, 1], rtol=0, atol=1e-5
        )


def test_inference_form_does_not_change_the_trained_one():
    predictor = trained(4)
    before = {name: value.clone() for name, value in predictor.state_dict().items()}
    folded = InferencePredictor(predictor)
    with torch.no_grad():
        for parameter in folded.parameters():
            parameter.zero_()
    assert all(torch.equal(value, before[name]) for name, value in predictor.state_dict().items())


def test_each_block_is_judged_by_itself():
    folded = InferencePredictor(trained(4)).eval()
    diagonal = attention_maps(6, 4, 32)
    with torch.no_grad():
        together = folded(diagonal)
        alone = torch.cat([folded(block[None]) for block in diagonal])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("heads", "block_size"), [(4, 1), (4, 2), (4, 32), (12, 32), (16, 16), (12, 64), (2, 128)])
def test_macs_are_half_the_flops_that_torch_counts(heads, block_size, monkeypatch):
    monkeypatch.setattr("bskim_export.model.predictors.diagonal.LANES", 1)  # padding channels are not counted
    predictor = DiagonalPredictor(shape(heads), block_size).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        assert predictor.classify(torch.rand(1, heads, block_size, block_size)).shape == (1, 2)
    assert 2 * predictor.macs == counter.get_total_flops()


def test_predictor_of_bert_base_has_166_million_macs():
    assert round(DiagonalPredictor(LayerShape(12, 64, 768), 32).macs / 1e6, 2) == 1.66


def test_parameters_are_named_as_in_the_released_code():
    modules = ("conv1", "bn1", "conv2", "bn2", "fc")
    state = DiagonalPredictor(shape(12)).state_dict()
    assert {name.split(".")[0] for name in state} == set(modules)
    assert {f"{m}.{kind}" for m in modules for kind in ("weight", "bias")} <= state.keys()


def test_only_blocks_with_passage_tokens_are_scored_and_seen_by_batch_norm():
    predictor = DiagonalPredictor(shape(4), 8)
    diagonal = attention_maps(6, 4, 8).float().reshape(2, 3, 4, 8, 8)
    question = torch.zeros(2, 3, 8, dtype=torch.bool)
    question[:, 0] = True
    question[0, 1, :5] = True  # shared
    real = torch.ones(2, 3, 8, dtype=torch.bool)
    real[1, 2] = False
    logits = predictor(BlockView(question, real, diagonal))
    assert (logits[:, 0] == 0).all()
    assert (logits[0, 1] != 0).all()
    assert (logits[1, 2] == 0).all()
    seen = predictor.bn1.running_mean.clone()
    diagonal[:, 0], diagonal[1, 2] = 1.0, 1.0
    again = DiagonalPredictor(shape(4), 8)
    again.load_state_dict({k: v for k, v in predictor.state_dict().items() if "running" not in k}, strict=False)
    again(BlockView(question, real, diagonal))
    torch.testing.assert_close(again.bn1.running_mean, seen)
