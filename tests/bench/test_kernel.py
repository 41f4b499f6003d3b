"""The kernel's check, in Triton's interpreter; there is no GPU here to time it on."""

import json

import numpy as np
import pytest
import torch
from support import run_in_triton_interpreter

from bskim_export.bench.keep_patterns import draw_patterns, load_patterns
from bskim_export.bench.kernel import Case, choose_device, measure_kernel
from bskim_export.errors import InputError
from bskim_export.export.stages import GridAttention

COMMAND = "import sys; from bskim_export.commands.kernel_cost import main; main(sys.argv[1:], standalone_mode=False)"
SMALL = ("--heads", 2, "--head-size", 16, "--batch-size", 3, "--length", 128)


@pytest.fixture
def case():
    patterns = draw_patterns(load_patterns(), 128, 3)
    return Case(patterns, 2, 16, "fp32", torch.device("cpu"))


def test_the_kernel_is_compared_with_the_reference_on_ragged_batches(tmp_path):
    pytest.importorskip("triton")
    run_in_triton_interpreter(
        COMMAND, *SMALL, "--precision", "fp16", "--precision", "fp32", "--json", tmp_path / "kernel.json"
    )
    results = json.loads((tmp_path / "kernel.json").read_text())["results"]
    assert [r["precision"] for r in results] == ["fp16", "fp32"]
    for result in results:
        assert result["blocks"] < result["cells"]  # ragged
        assert result["right"]
        assert result["max_difference"]["kernel"] <= result["limit"]
        assert result["ms"] is None  # of the interpreter, it would say nothing
    assert results[0]["limit"] == 2e-3


def test_a_wrong_kernel_is_said_to_be_wrong(tmp_path):
    pytest.importorskip("triton")
    program = """
import sys
from bskim_export.bench.kernel import Case
from bskim_export.commands.kernel_cost import main
whole = Case.kernel
Case.kernel = lambda self, *given: tuple(t * float("nan") for t in whole(self, *given))
try:
    main(sys.argv[1:], standalone_mode=False)
except SystemExit as exit:
    assert exit.code == 1
else:
    raise AssertionError
"""
    run_in_triton_interpreter(program, *SMALL, "--json", tmp_path / "kernel.json")
    assert not json.loads((tmp_path / "kernel.json").read_text())["results"][0]["right"]


def test_the_plain_graph_is_a_stages_own_attention(case):
    attention = GridAttention(case.table, case.mask, 32)
    context, diagonal = case.plain()
    torch.testing.assert_close(context, attention(case.query, case.key, case.value, case.scaling))
    torch.testing.assert_close(diagonal, attention.diagonal(case.probe))
    live = case.grid.back
    torch.testing.assert_close(case.sdpa()[live], context[live], atol=1e-5, rtol=1e-5)


def test_every_way_is_timed(case, monkeypatch):
    monkeypatch.setattr(Case, "kernel", lambda self, with_diagonal=True: self.plain())
    ms = case.milliseconds(repeats=2, calls=2)
    assert list(ms) == ["kernel", "kernel, no diagonal", "plain graph", "SDPA"]
    assert np.all(np.array(list(ms.values())) > 0)


def test_what_fails_is_reported(monkeypatch):
    def fail(self, with_diagonal=True):
        raise RuntimeError("out of resources:\n shared memory")

    monkeypatch.setattr(Case, "kernel", fail)
    result = measure_kernel(2, 16, 1, 64, "fp16", 1, torch.device("cpu"))
    assert result["error"] == "out of resources: shared memory"
    assert not result["right"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_way_to_check_it_is_said():
    pytest.importorskip("triton")
    with pytest.raises(InputError, match="set TRITON_INTERPRET=1"):
        choose_device(["fp16"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_interpreter_is_not_asked_for_bf16():
    pytest.importorskip("triton")
    run_in_triton_interpreter(
        "from bskim_export.bench.kernel import choose_device, InputError\n"
        "try: choose_device(['fp16', 'bf16'])\n"
        "except InputError as error: assert 'bf16' in str(error)\n"
        "else: raise AssertionError"
    )
