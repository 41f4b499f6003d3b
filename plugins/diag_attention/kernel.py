"""The Triton kernel: flash attention over ragged windows of packed blocks, which also writes the diagonal blocks.

The map never exists in memory: a program takes some query rows of one head past all keys of their window, with a
running maximum and sum, and then looks at its own diagonal once more, now that the softmax's normaliser is known. The
second look costs one more tile product; keeping the tiles of the first would need them all in registers.

A window's live blocks are neighbours in the packed tensors, so its tokens are one run of rows, from `table[w, 0]` on.
Nothing is computed for the empty cells of the grid.
"""

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)  # exp2 is what the hardware has


@triton.jit
def diag_attention_kernel(
    query,  # [N * k, heads * d], and so are key and value
    key,
    value,
    first_block,  # int64 [B], table[:, 0]
    live_blocks,  # int32 [B]
    mask,  # [B, M * k], additive
    context,  # out [B * M * k, heads * d]
    diagonal,  # out [B * M, heads, k, k]; not touched without WITH_DIAGONAL
    scaling,
    columns,  # M
    HEADS: tl.constexpr,
    D: tl.constexpr,
    D_PADDED: tl.constexpr,  # the next power of two
    SIZE: tl.constexpr,
    ROWS: tl.constexpr,
    COLS: tl.constexpr,
    WITH_DIAGONAL: tl.constexpr,
):
    """Attend from one tile of query rows of one head of one window: grid (tiles, heads, B)."""
    tile = tl.program_id(0)
    head = tl.program_id(1)
    window = tl.program_id(2)
    # Rows past the window's last live block are of empty cells: nothing to do.
    length = tl.load(live_blocks + window) * SIZE
    if tile * ROWS >= length:
        return
    # The window's tokens are the `length` rows from `begin` on; this program's queries are those at `rows` among them.
    begin = tl.load(first_block + window) * SIZE
    mask += window * columns * SIZE
    d = tl.arange(0, D_PADDED)
    in_head = d[None, :] < D
    rows = tile * ROWS + tl.arange(0, ROWS)
    there = (rows < length)[:, None]
    own = (begin + rows)[:, None].to(tl.int64) * (HEADS * D) + head * D + d[None, :]
    q = tl.load(query + own, mask=there & in_head, other=0.0)
    # Softmax over tiles of keys: the highest score so far, and sums of weights and values that are relative to it.
    highest = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    mixed = tl.zeros([ROWS, D_PADDED], tl.float32)
    for start in range(0, length, COLS):
        # Load one tile of keys and values, zeros past the window's end and the head's width.
        cols = start + tl.arange(0, COLS)
        inside = cols < length
        place = (begin + cols)[:, None].to(tl.int64) * (HEADS * D) + head * D + d[None, :]
        k = tl.load(key + place, mask=inside[:, None] & in_head, other=0.0)
        v = tl.load(value + place, mask=inside[:, None] & in_head, other=0.0)
        # Score it, in units of log 2; the mask, and minus infinity past the end, are added.
        bias = tl.load(mask + cols, mask=inside, other=float("-inf")).to(tl.float32)
        scores = (tl.dot(q, tl.trans(k), input_precision="ieee") * scaling + bias[None, :]) * LOG2_E
        # Bring the sums so far to the new maximum, and add this tile's share.
        most = tl.maximum(highest, tl.max(scores, 1))
        weight = tl.exp2(scores - most[:, None])
        fading = tl.exp2(highest - most)
        total = total * fading + tl.sum(weight, 1)
        mixed = mixed * fading[:, None] + tl.dot(weight.to(v.dtype), v, input_precision="ieee")
        highest = most
    # Write the context to the window's cells on the grid.
    cell_row = window * columns * SIZE + rows
    out = cell_row[:, None].to(tl.int64) * (HEADS * D) + head * D + d[None, :]
    tl.store(context + out, (mixed / total[:, None]).to(context.dtype.element_ty), mask=there & in_head)
    if WITH_DIAGONAL:
        # Score the queries' own rows as keys once more; the maximum and the sum over all keys are known by now.
        k = tl.load(key + own, mask=there & in_head, other=0.0)
        bias = tl.load(mask + rows, mask=rows < length, other=float("-inf")).to(tl.float32)
        scores = (tl.dot(q, tl.trans(k), input_precision="ieee") * scaling + bias[None, :]) * LOG2_E
        share = tl.exp2(scores - highest[:, None]) / total[:, None]
        # A pair of rows belongs to a diagonal block if both are in the same one; write those pairs.
        block = (cell_row // SIZE)[:, None].to(tl.int64)
        place = ((block * HEADS + head) * SIZE + (rows % SIZE)[:, None]) * SIZE + (rows % SIZE)[None, :]
        same_block = (rows // SIZE)[:, None] == (rows // SIZE)[None, :]
        tl.store(diagonal + place, share.to(diagonal.dtype.element_ty), mask=same_block & there)
