"""The Triton kernel in Triton's interpreter, which runs on the CPU, against the reference."""

import json

import numpy as np
import pytest
import torch
from support import run_in_triton_interpreter

from bskim_export.blocks import MASKED, build_grid, diagonal_rows
from bskim_export.model.attention import GridAttention
from bskim_export.plugins.diag_attention.reference import diag_attention

SHAPES = [
    # (live blocks of each window, heads, head size, block size)
    ([3, 1, 5], 4, 32, 32),
    ([1], 2, 64, 32),
    ([2, 7], 1, 24, 16),  # a head size that is no power of two
    ([1, 1, 1, 4], 3, 64, 64),
]
PROGRAM = """
import json, sys
import numpy as np, torch
from bskim_export.plugins.diag_attention.torch_op import diag_attention
for case in json.loads(sys.argv[1]):
    given = np.load(case["file"])
    query, key, value = (torch.from_numpy(given[n]) for n in ("query", "key", "value"))
    table, mask = torch.from_numpy(given["table"]), torch.from_numpy(given["mask"])
    both = diag_attention(query, key, value, table, mask, case["scaling"], True)
    alone, nothing = diag_attention(query, key, value, table, mask, case["scaling"], False)
    assert nothing.numel() == 0 and torch.equal(alone[case["live"]], both[0][case["live"]])
    np.savez(case["out"], context=both[0].float().numpy(), diagonal=both[1].float().numpy())
"""


def make_case(counts, heads, width, size, dtype, seed=0):
    rng = np.random.default_rng(seed)
    n = sum(counts)
    window = np.repeat(np.arange(len(counts)), counts)
    block_mask = np.zeros((n, size), np.float32)
    ends = np.cumsum(counts) - 1
    block_mask[ends, size // 3 :] = MASKED  # the last block of each window is partly padding
    grid = build_grid(window, block_mask)
    tensors = {name: rng.standard_normal((n, size, heads, width)).astype(dtype) for name in ("query", "key", "value")}
    return tensors, grid


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    """Every shape and type, computed by the kernel in one process: [(inputs, grid, scaling, result)]."""
    pytest.importorskip("triton")
    folder = tmp_path_factory.mktemp("kernel")
    cases = []
    kept = []
    for i, (shape, dtype) in enumerate((s, d) for s in SHAPES for d in ("float32", "float16")):
        tensors, grid = make_case(*shape, dtype)
        file = folder / f"{i}.npz"
        out = folder / f"{i}.out.npz"
        np.savez(file, **tensors, table=grid.table, mask=grid.mask)
        scaling = shape[2] ** -0.5
        cases.append({"file": str(file), "out": str(out), "scaling": scaling, "live": grid.back.tolist()})
        kept.append((tensors, grid, scaling, out))
    run_in_triton_interpreter(PROGRAM, json.dumps(cases))
    return [(tensors, grid, scaling, np.load(out)) for tensors, grid, scaling, out in kept]


def test_the_kernel_agrees_with_the_reference_on_ragged_batches(computed):
    for tensors, grid, scaling, ours in computed:
        context, diagonal = diag_attention(**tensors, table=grid.table, mask=grid.mask, scaling=scaling)
        limit = 2e-3 if tensors["query"].dtype == np.float16 else 1e-5
        assert np.abs(ours["context"][grid.back] - context[grid.back]).max() <= limit
        assert np.abs(ours["diagonal"][grid.back] - diagonal[grid.back]).max() <= limit


@pytest.mark.parametrize("shape", SHAPES)
def test_the_reference_is_a_stages_own_attention(shape):
    tensors, grid = make_case(*shape, "float32", seed=1)
    scaling = shape[2] ** -0.5
    context, diagonal = diag_attention(**tensors, table=grid.table, mask=grid.mask, scaling=scaling)
    attention = GridAttention(torch.from_numpy(grid.table), torch.from_numpy(grid.mask), shape[3])
    theirs = attention(*(torch.from_numpy(tensors[n]) for n in ("query", "key", "value")), scaling)
    np.testing.assert_allclose(context[grid.back], theirs[grid.back], atol=1e-5)
    own = attention.diagonal(torch.from_numpy(diagonal_rows(grid.back, grid, shape[1])))
    np.testing.assert_allclose(diagonal[grid.back], own, atol=1e-5)
