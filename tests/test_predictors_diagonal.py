import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bskim_export.model.predictors.diagonal import InferencePredictor


def trained(heads: int, block_size: int = 32, seed: int = 0) -> SkimPredictor:
    """Return a predictor in double precision whose weights and BatchNorm statistics are all far from their defaults."""
    torch.manual_seed(seed)
    predictor = SkimPredictor(heads, block_size).double().eval()
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


@pytest.mark.parametrize("block_size", [8, 32])
@pytest.mark.parametrize("heads", [4, 12, 16, 20])
def test_inference_form_gives_the_keep_probability_of_the_trained_form(heads, block_size):
    predictor = trained(heads, block_size)
    diagonal = attention_maps(40, heads, block_size)
    with torch.no_grad():
        expected = predictor(diagonal).softmax(-1)[:, 1]
        found = InferencePredictor(predictor).eval()(diagonal)
    assert found.shape == (40,)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert expected.std() > 1e-4  # the blocks differ, so that a constant would not pass


def test_inference_form_agrees_in_single_precision():
    predictor = trained(12).float()
    diagonal = attention_maps(40, 12, 32).float()
    with torch.no_grad():
        torch.testing.assert_close(
            InferencePredictor(predictor)(diagonal), predictor(diagonal).softmax(-1)[:, 1], rtol=0, atol=1e-5
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


@pytest.mark.parametrize(("heads", "block_size"), [(4, 4), (12, 32), (16, 32), (12, 64)])
def test_logits_have_two_classes(heads, block_size):
    predictor = SkimPredictor(heads, block_size).eval()
    assert predictor(torch.rand(3, heads, block_size, block_size)).shape == (3, 2)


@pytest.mark.parametrize(("heads", "block_size"), [(4, 32), (12, 32), (16, 16), (12, 64)])
def test_macs_are_half_the_flops_that_torch_counts(heads, block_size):
    predictor = SkimPredictor(heads, block_size).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        predictor(torch.rand(1, heads, block_size, block_size))
    assert 2 * predictor.macs == counter.get_total_flops()


def test_predictor_of_bert_base_has_166_million_macs():
    assert round(SkimPredictor(12, 32).macs / 1e6, 2) == 1.66


def test_parameters_are_named_as_in_the_released_code():
    modules = ("conv1", "bn1", "conv2", "bn2", "fc")
    state = SkimPredictor(12).state_dict()
    assert {name.split(".")[0] for name in state} == set(modules)
    assert {f"{m}.{kind}" for m in modules for kind in ("weight", "bias")} <= state.keys()


@pytest.mark.parametrize("block_size", [1, 2, 6, 30, 33])
def test_block_sizes_that_cannot_be_pooled_twice_are_refused(block_size):
    with pytest.raises(ValueError, match=f"block_size must be a multiple of 4, got {block_size}"):
        SkimPredictor(12, block_size)
