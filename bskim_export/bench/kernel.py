"""The fused attention kernel: is it right here, and how fast is it beside what it replaces. Needs PyTorch and Triton.

Batches are as ragged as real ones: of recorded windows, each as long as it was (see `keep_patterns`). Timed are

    kernel                attention and the diagonal blocks of its map, in one pass
    kernel, no diagonal   attention alone
    plain graph           what a stage's graph says: matmul, softmax in fp32, matmul; a Gather of the diagonal blocks
    SDPA                  torch's own fused attention, which gives no diagonal, on the same grid

each from packed blocks to the context on the grid.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bskim_export.bench.gpu import in_one_line
from bskim_export.bench.keep_patterns import BLOCK_SIZE, Pattern, draw_patterns, load_patterns
from bskim_export.blocks import MASKED, Grid, build_grid, count_blocks, diagonal_rows
from bskim_export.errors import InputError, missing_extra
from bskim_export.evaluate.timing import interleaved
from bskim_export.model.attention import GridAttention, lay_out, to_cells
from bskim_export.plugins.diag_attention.reference import diag_attention as reference

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
LIMITS = {"fp16": 2e-3, "bf16": 2e-2, "fp32": 1e-5}
"""How far the kernel may be from the reference in float64, which gets the same rounded inputs."""


def choose_device(precisions: Sequence[str]) -> torch.device:
    """Return where the kernel runs: the GPU, or the CPU in Triton's interpreter.

    Args:
        precisions: keys of DTYPES that it will be asked for

    Raises:
        InputError: neither is there, or the interpreter does not compute in one of these.
        MissingExtraError: Triton is not installed.
    """
    try:
        import triton
    except ImportError as error:
        raise missing_extra("triton", "torch-cuda", "The fused attention kernel") from error
    if torch.cuda.is_available():
        return torch.device("cuda")
    if triton.knobs.runtime.interpret:
        if "bf16" in precisions:  # it keeps bf16 as integers, and its products are of these
            raise InputError("Triton's interpreter does not multiply in bf16; ask for fp16 or fp32.")
        return torch.device("cpu")
    raise InputError(
        "PyTorch finds no NVIDIA GPU here (torch.cuda.is_available() is false). To check the kernel without one, in "
        "Triton's interpreter, set TRITON_INTERPRET=1 and ask for something small: --batch-size 2 --length 64."
    )


class Case:
    """Attention over one ragged batch, with random queries, keys and values.

    Args:
        patterns: the windows
        heads, head_size: of the attention
        precision: a key of DTYPES
    """

    def __init__(self, patterns: Sequence[Pattern], heads: int, head_size: int, precision: str, device: torch.device):
        counts = [count_blocks(p.length, BLOCK_SIZE) for p in patterns]
        block = np.concatenate([np.arange(n) for n in counts])
        positions = block[:, None] * BLOCK_SIZE + np.arange(BLOCK_SIZE)
        lengths = np.repeat([p.length for p in patterns], counts)
        window = np.repeat(np.arange(len(counts)), counts)
        self.grid: Grid = build_grid(window, np.where(positions < lengths[:, None], np.float32(0), MASKED))
        rng = np.random.default_rng(0)
        shape = (len(block), BLOCK_SIZE, heads, head_size)
        self.query, self.key, self.value = (
            torch.tensor(rng.standard_normal(shape, np.float32), dtype=DTYPES[precision], device=device)
            for _ in range(3)
        )
        self.table, self.mask, self.probe = (
            torch.tensor(a, device=device)
            for a in (self.grid.table, self.grid.mask, diagonal_rows(self.grid.back, self.grid, heads))
        )
        self.scaling = head_size**-0.5
        self.device = device

    def kernel(self, with_diagonal: bool = True) -> tuple[Tensor, Tensor]:
        """Return the context of every cell and the diagonal blocks of every cell."""
        from bskim_export.plugins.diag_attention.torch_op import diag_attention

        return diag_attention(self.query, self.key, self.value, self.table, self.mask, self.scaling, with_diagonal)

    def plain(self) -> tuple[Tensor, Tensor]:
        """Return the context of every cell and the diagonal blocks of every live block, as a stage's graph does."""
        attention = GridAttention(self.table, self.mask, BLOCK_SIZE)
        context = attention(self.query, self.key, self.value, self.scaling)
        return context, attention.diagonal(self.probe)

    def sdpa(self) -> Tensor:
        """Return the context of every cell."""
        query, key, value = (lay_out(t, self.table) for t in (self.query, self.key, self.value))
        bias = self.mask[:, None, None, :].to(query.dtype)
        return to_cells(F.scaled_dot_product_attention(query, key, value, bias, scale=self.scaling), BLOCK_SIZE)

    def difference(self) -> dict[str, float]:
        """Return how far the kernel, the plain graph and SDPA are from the reference at most, in live blocks."""
        query, key, value = (t.double().cpu().numpy() for t in (self.query, self.key, self.value))
        right = reference(query, key, value, self.grid.table, self.grid.mask, self.scaling)
        context, diagonal = (cells[self.grid.back] for cells in right)

        def furthest(ours: Tensor, right: np.ndarray) -> float:
            # NaN is as wrong as can be, and greater than nothing
            return float(np.nan_to_num(np.abs(ours.double().cpu().numpy() - right), nan=np.inf).max())

        back = torch.tensor(self.grid.back, device=self.device)
        fused = self.kernel()
        plain = self.plain()
        return {
            "kernel": max(furthest(fused[0][back], context), furthest(fused[1][back], diagonal)),
            "plain graph": max(furthest(plain[0][back], context), furthest(plain[1], diagonal)),
            "SDPA": furthest(self.sdpa()[back], context),
        }

    def milliseconds(self, repeats: int, calls: int) -> dict[str, float]:
        """Return the median of each way, launching included.

        Args:
            calls: how many are launched before the clock waits for the last
        """
        ways: dict[str, Callable[[], object]] = {
            "kernel": self.kernel,
            "kernel, no diagonal": partial(self.kernel, False),
            "plain graph": self.plain,
            "SDPA": self.sdpa,
        }
        seconds = interleaved([partial(self._several, way, calls) for way in ways.values()], repeats)
        return dict(zip(ways, (1e3 * np.median(seconds, axis=0) / calls).tolist(), strict=True))

    @torch.inference_mode()
    def _several(self, way: Callable[[], object], calls: int) -> None:
        for _ in range(calls):
            way()
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def measure_kernel(
    heads: int, head_size: int, batch_size: int, length: int, precision: str, repeats: int, device: torch.device
) -> dict[str, Any]:
    """Return how right and how fast the kernel is on recorded windows of at most `length` positions.

    What fails, say for want of memory, is in "error"; the rest is then None, and the kernel not "right".
    """
    result: dict[str, Any] = {
        "heads": heads,
        "head_size": head_size,
        "batch_size": batch_size,
        "length": length,
        "precision": precision,
        "limit": LIMITS[precision],
        **dict.fromkeys(("blocks", "cells", "max_difference", "ms", "error")),
        "right": False,
    }
    patterns = draw_patterns(load_patterns(), length, batch_size)
    try:
        case = Case(patterns, heads, head_size, precision, device)
        result |= {"blocks": len(case.grid.back), "cells": case.grid.table.size, "max_difference": case.difference()}
        if device.type != "cpu":  # in the interpreter, times say nothing
            result["ms"] = case.milliseconds(repeats, calls=20)
        result["right"] = result["max_difference"]["kernel"] <= LIMITS[precision]
    except Exception as error:  # of PyTorch, of Triton's compiler, of the driver
        result["error"] = in_one_line(error)
    return result
