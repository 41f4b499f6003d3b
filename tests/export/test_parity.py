from types import SimpleNamespace

import pytest
import torch

from bskim_export.export.parity import near_tie


@pytest.mark.parametrize(
    ("probability", "threshold", "tie"),
    [
        (0.50002, 0.5, True),
        (0.5001, 0.5, False),
        (0.00100005, 0.001, True),
        (0.001002, 0.001, False),  # 1e-5 of a probability would have called this one
        (1.0, 1.0, True),
        (0.0, 1e-9, False),
    ],
)
def test_a_tie_is_a_matter_of_logits(probability, threshold, tie):
    out = SimpleNamespace(scores={2: {0: threshold, 1: probability}})
    guarded = torch.tensor([True, False])
    assert near_tie(out, guarded, {2: threshold}) is tie
