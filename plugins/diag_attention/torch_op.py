"""The kernel as a torch operator, `bskim::diag_attention`, which the torch backend runs on a GPU."""

import torch
import triton
from torch import Tensor

from .kernel import diag_attention_kernel


@torch.library.custom_op("bskim::diag_attention", mutates_args=())
def diag_attention(
    query: Tensor, key: Tensor, value: Tensor, table: Tensor, mask: Tensor, scaling: float, with_diagonal: bool
) -> tuple[Tensor, Tensor]:
    """Return softmax attention of packed blocks, on the grid, and the diagonal blocks of its map.

    Args:
        query, key, value: float16, bfloat16 or float32 [N, k, heads, d], contiguous, on a GPU (or on the CPU in
            Triton's interpreter); the blocks of a window next to each other, k a power of two from 16 on
        table: int64 [B, M]; mask: [B, M * k], see `bskim_export.blocks.build_grid`
        scaling: of the scores
        with_diagonal: without it, the second result is empty

    Returns:
        context [B * M, k, heads * d]; diagonal [B * M, heads, k, k], both of the type of `query`. In the grid's empty
        cells, the context is 0 and the diagonal unspecified
    """
    _, size, heads, width = query.shape
    windows, columns = table.shape
    # The kernel reads plain rows.
    query = query.contiguous()
    key = key.contiguous()
    value = value.contiguous()
    # Predictors multiply what is in empty cells with 0, which does not take a NaN away.
    context = query.new_zeros(windows * columns, size, heads * width)
    diagonal = query.new_empty((windows * columns if with_diagonal else 0), heads, size, size)
    # A block is live if it has a real token; a window's live blocks come first.
    live = (mask.view(windows, columns, size) == 0).any(-1).sum(-1, dtype=torch.int32)
    # One program for each tile of query rows, head and window; a tile holds whole blocks.
    rows = max(size, 64)
    diag_attention_kernel[(triton.cdiv(columns * size, rows), heads, windows)](
        query,
        key,
        value,
        table[:, 0].contiguous(),
        live,
        mask,
        context,
        diagonal,
        scaling,
        columns,
        HEADS=heads,
        D=width,
        D_PADDED=max(16, triton.next_power_of_2(width)),
        SIZE=size,
        ROWS=rows,
        COLS=64,
        WITH_DIAGONAL=with_diagonal,
    )
    return context, diagonal


@diag_attention.register_fake
def _shapes_only(
    query: Tensor, key: Tensor, value: Tensor, table: Tensor, mask: Tensor, scaling: float, with_diagonal: bool
) -> tuple[Tensor, Tensor]:
    """Return tensors of the operator's shapes and types, for torch.compile and torch.export."""
    _, size, heads, width = query.shape
    cells = table.shape[0] * table.shape[1]
    shape = (cells if with_diagonal else 0, heads, size, size)
    return query.new_empty(cells, size, heads * width), query.new_empty(shape)
