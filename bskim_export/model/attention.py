"""Softmax attention over whole windows, for training and the reference; the exported stages have GridAttention."""

from torch import Tensor
from torch.nn import functional as F


class WindowAttention:
    """Attends within each window. After a call, `probabilities` holds the map [B, heads, S, S] if it was asked for.

    Args:
        real: bool [B, S], tokens that may be attended to
        dropout: of attention probabilities
        with_map: compute the map; without it the kernel that torch likes best runs, which keeps none
    """

    def __init__(self, real: Tensor, dropout: float, with_map: bool):
        self._mask, self._dropout, self._with_map = real[:, None, None, :], dropout, with_map
        self.probabilities: Tensor | None = None

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Return the attention context: [B, S, heads, d] each -> [B, S, heads * d]."""
        query, key, value = (t.transpose(1, 2) for t in (query, key, value))
        if self._with_map:
            scores = (query @ key.transpose(2, 3)) * scaling
            self.probabilities = scores.masked_fill(~self._mask, -float("inf")).softmax(-1)
            context = F.dropout(self.probabilities, self._dropout).to(value.dtype) @ value
        else:
            context = F.scaled_dot_product_attention(query, key, value, self._mask, self._dropout, scale=scaling)
        return context.transpose(1, 2).flatten(2)
