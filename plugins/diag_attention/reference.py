"""The computation of the kernel, as plainly as possible."""

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]


def diag_attention(
    query: Floats, key: Floats, value: Floats, table: npt.NDArray[np.int64], mask: Floats, scaling: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return softmax attention of packed blocks, on the grid, and the diagonal blocks of its map.

    The same as a stage's own attention (`bskim_export.model.attention.GridAttention`), in float64. Empty cells of the
    grid, which come last in each window, are zero in both results: nothing reads them.

    Args:
        query, key, value: float [N, k, heads, d], the packed blocks
        table: int64 [B, M], the packed index of each cell's block
        mask: float [B, M * k], additive: 0 for a real token
        scaling: of the scores

    Returns:
        context, float64 [B * M, k, heads * d]; diagonal, float64 [B * M, heads, k, k]

    Example:
        >>> one = np.ones((1, 2, 1, 4))  # one block of two tokens, one head
        >>> context, diagonal = diag_attention(one, one, one, np.zeros((1, 1), int), np.zeros((1, 2)), 0.5)
        >>> context.shape, diagonal.tolist()
        ((1, 2, 4), [[[[0.5, 0.5], [0.5, 0.5]]]])
    """
    _, size, heads, width = query.shape
    windows, columns = table.shape
    context = np.zeros((windows, columns, size, heads * width))
    diagonal = np.zeros((windows, columns, heads, size, size))
    for w in range(windows):
        # The window's live blocks, those with a real token, as one sequence for each head.
        live = (mask[w].reshape(columns, size) == 0).any(axis=1).sum()
        own = table[w, :live]
        q, k, v = (t[own].astype(np.float64).reshape(-1, heads, width).swapaxes(0, 1) for t in (query, key, value))
        # Softmax attention over it.
        scores = q @ k.swapaxes(1, 2) * scaling + mask[w, : live * size].astype(np.float64)
        scores -= scores.max(axis=-1, keepdims=True)
        share = np.exp(scores)
        share /= share.sum(axis=-1, keepdims=True)
        context[w, :live] = (share @ v).swapaxes(0, 1).reshape(live, size, heads * width)
        # Of the map, only the blocks that a block has with itself.
        blocks = share.reshape(heads, live, size, live, size)
        for m in range(live):
            diagonal[w, m] = blocks[:, m, :, m]
    return context.reshape(-1, size, heads * width), diagonal.reshape(-1, heads, size, size)
