import pytest
import torch

from bskim_export.model.attention import WindowAttention


@pytest.mark.parametrize("learns", [True, False])
def test_attention_in_bfloat16_is_softmax_attention(learns):
    """With a gradient, it is computed without torch's fused kernel."""
    torch.manual_seed(3)
    exact = [torch.randn(2, 64, 4, 16, requires_grad=True) for _ in range(3)]
    rounded = [t.detach().bfloat16().requires_grad_(learns) for t in exact]
    real = torch.arange(64) < torch.tensor([[64], [40]])
    with torch.autocast("cpu", torch.bfloat16):
        found = WindowAttention(real, 0.0, False)(*rounded, scaling=0.25)
    query, key, value = (t.transpose(1, 2) for t in exact)
    scores = (query @ key.transpose(2, 3) * 0.25).masked_fill(~real[:, None, None], -float("inf"))
    expected = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, atol=0.03, rtol=0.03)
    if learns:
        weights = torch.randn_like(expected)
        (expected * weights).sum().backward()
        (found.float() * weights).sum().backward()
        for ours, theirs in zip(rounded, exact, strict=True):
            torch.testing.assert_close(ours.grad.float(), theirs.grad, atol=0.08, rtol=0.08)
