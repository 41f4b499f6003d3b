import pytest
import torch

from bskim_export.errors import CheckpointError
from bskim_export.model.families.base import LayerShape
from bskim_export.model.predictors.base import view_blocks
from bskim_export.model.predictors.whole_map import WholeMapPredictor

SHAPE = LayerShape(4, 8, 32)


def view(length: int, padded: int):
    torch.manual_seed(length)
    scores = torch.randn(1, 4, length, length)
    probabilities = torch.zeros(1, 4, padded, padded)
    probabilities[..., :length, :length] = (3 * scores).softmax(-1)
    position = torch.arange(padded)[None]
    hidden = torch.zeros(1, padded, 32)
    return view_blocks(hidden, hidden, probabilities, position < 5, position < length, 8)


def test_a_window_does_not_depend_on_the_padding_of_its_batch():
    predictor = WholeMapPredictor(SHAPE, 8).eval()
    with torch.no_grad():
        predictor.bn1.bias.add_(1)
        alone, padded = predictor(view(40, 40)), predictor(view(40, 72))
    assert alone.shape == (1, 5, 2)
    torch.testing.assert_close(padded[:, :5], alone, rtol=0, atol=1e-6)
    assert alone.std() > 1e-4


def test_it_cannot_be_exported():
    with pytest.raises(CheckpointError, match="--predictor diagonal or question"):
        WholeMapPredictor(SHAPE).export_form()


def test_blocks_that_cannot_be_pooled_twice_are_refused():
    with pytest.raises(CheckpointError, match="got 6"):
        WholeMapPredictor(SHAPE, 6)
