"""A pipeline opened before a fork, as `gunicorn --preload` does: the child answers and ends, or says why not."""

import subprocess
import sys
from pathlib import Path

import pytest

from bskim_export.backends.catalogue import CATALOGUE

HERE = [name for name, e in CATALOGUE.items() if e.device == "CPU" and e.installed]
PROGRAM = """
import os, signal, sys
from bskim_export import QAPipeline
from bskim_export.errors import ForkError

asked = ("Who wrote the book?", "The book was written by Ada Lovelace in 1843. " * 20)
qa = QAPipeline(sys.argv[1], backend=sys.argv[2], threads=2)
own = qa(*asked)
child = os.fork()
if child == 0:
    signal.alarm(100)
    try:
        same = qa(*asked) == own
        threads = len(os.listdir("/proc/self/task"))
        print("same" if same and threads > 1 else f"{same} {threads}", flush=True)
        grandchild = os.fork()
        if grandchild == 0:
            print("same" if qa(*asked) == own else "other", flush=True)
            sys.exit(0)
        assert os.waitpid(grandchild, 0)[1] == 0
    except ForkError as error:
        print(error, flush=True)
    sys.exit(0)  # as gunicorn's workers end; os._exit would skip what hangs
_, status = os.waitpid(child, 0)
print("ended with", status)
print("parent", "same" if qa(*asked) == own else "other")
"""


@pytest.mark.parametrize("name", HERE)
def test_a_forked_child_answers_and_ends_or_is_refused(name, minilm_bundle):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(minilm_bundle), name],
        capture_output=True, text=True, timeout=200, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    if name == "onnxruntime":
        assert lines == ["same", "same", "ended with 0", "parent same"]
    else:
        refused = f"and the {name} backend cannot run here: its threads were not copied. Open a pipeline after the fork"
        assert refused in lines[0]
        assert lines[1:] == ["ended with 0", "parent same"]
