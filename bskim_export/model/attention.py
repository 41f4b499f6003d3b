"""Softmax attention: over whole windows, for training and the reference, and over the grid, for exported stages."""

import torch
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
        self._mask = real[:, None, None, :]
        self._dropout = dropout
        self._with_map = with_map
        self.probabilities: Tensor | None = None

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Return the attention context: [B, S, heads, d] each -> [B, S, heads * d]."""
        query, key, value = (t.transpose(1, 2) for t in (query, key, value))
        if self._with_map:
            scores = (query @ key.transpose(2, 3)) * scaling
            self.probabilities = scores.masked_fill(~self._mask, -float("inf")).softmax(-1)
            context = F.dropout(self.probabilities, self._dropout).to(value.dtype) @ value
        elif query.requires_grad and query.device.type == "cpu" and query.dtype == torch.bfloat16 and not self._dropout:
            context = self._plain(query, key, value, scaling)
        else:
            context = F.scaled_dot_product_attention(query, key, value, self._mask, self._dropout, scale=scaling)
        return context.transpose(1, 2).flatten(2)

    def _plain(self, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Return the context without a fused kernel.

        To train in bfloat16 on a CPU takes a sixth less time so: torch's fused kernel is slow backwards.
        """
        with torch.autocast("cpu", enabled=False):  # it would take the softmax, and with it all memory traffic, to fp32
            hidden = torch.zeros_like(self._mask, dtype=query.dtype).masked_fill(~self._mask, -float("inf"))
            scores = torch.matmul(query * scaling, key.transpose(2, 3)) + hidden
            return torch.matmul(scores.softmax(-1), value)


class GridAttention:
    """Softmax attention of packed blocks, on the grid. Remembers the attention map for `diagonal`."""

    def __init__(self, table: Tensor, mask: Tensor, block_size: int):
        self._table = table
        self._mask = mask[:, None, None, :]
        self._size = block_size
        self._map: Tensor | None = None

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Return the context of every grid cell: [N, k, heads, d] each -> [B * M, k, heads * d]."""
        query, key, value = (lay_out(t, self._table) for t in (query, key, value))
        scores = torch.matmul(query, key.transpose(2, 3)) * scaling
        self._map = torch.softmax(scores.float() + self._mask, dim=-1)  # fp32, also in a half-precision model
        return to_cells(torch.matmul(self._map.to(value.dtype), value), self._size)

    def diagonal(self, probe: Tensor) -> Tensor:
        """Return diagonal blocks of the map: rows of k numbers, int64 [P, heads, k] -> [P, heads, k, k].

        One Gather. (torch.diagonal would export to EyeLike, 50 times slower and refused by TensorRT for dynamic shapes;
        and the arithmetic of blocks.diagonal_rows, if done here, costs 24 tiny nodes a stage.)
        """
        assert self._map is not None, "attention comes first"
        return F.embedding(probe, self._map.reshape(-1, self._size))


def lay_out(packed: Tensor, table: Tensor) -> Tensor:
    """Lay packed blocks out on the grid: [N, k, heads, d] -> [B, heads, M * k, d]."""
    _, size, heads, width = packed.shape
    windows, columns = table.shape
    laid = packed.index_select(0, table.reshape(-1))
    return laid.reshape(windows, columns * size, heads, width).transpose(1, 2)


def to_cells(context: Tensor, size: int) -> Tensor:
    """Return a context block by block: [B, heads, M * k, d] -> [B * M, k, heads * d]."""
    return context.transpose(1, 2).reshape(-1, size, context.shape[1] * context.shape[3])
