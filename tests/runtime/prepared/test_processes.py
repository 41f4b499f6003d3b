"""A pipeline of a split model among threads, in forks, and pickled."""

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bskim_export import QAPipeline
from bskim_export.backends.catalogue import CATALOGUE
from bskim_export.data.question import sample
from bskim_export.errors import InputError

HERE = [name for name in ("onnxruntime", "openvino") if CATALOGUE[name].installed]


def test_threads_share_the_engines_and_each_gets_its_answer(split_bundle, squad, monkeypatch):
    drawn = sample(squad, 16, seed=2)
    qa = QAPipeline(split_bundle, threads=1)
    compiled = []
    load = qa.backend.load
    monkeypatch.setattr(qa.backend, "load", lambda b, graph, s=1: compiled.append(graph.file) or load(b, graph, s))

    def ask(q):
        return qa(question=q.question, prepared=qa.prepare(q.context), top_k=2)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, drawn))
    assert sorted(compiled) == ["onnx/prepare.onnx", "onnx/question.onnx"]
    assert found == [ask(q) for q in drawn]


def test_engines_may_be_let_go_of_while_others_run(split_bundle):
    qa = QAPipeline(split_bundle, threads=1)
    prepared = qa.prepare("Ada wrote it in 1843.")
    expected = qa(question="Who?", prepared=prepared)

    def work(number):
        if number % 3 == 0:
            qa.unload_lower()
        return qa(question="Who?", prepared=prepared)

    with ThreadPoolExecutor(4) as pool:
        assert all(found == expected for found in pool.map(work, range(24)))


def test_a_pickled_pipeline_asks_what_the_first_one_prepared(split_qa):
    prepared = split_qa.prepare("Ada wrote it in 1843.")
    again = pickle.loads(pickle.dumps(split_qa))
    assert again(question="Who?", prepared=prepared) == split_qa(question="Who?", prepared=prepared)


def test_a_pipeline_that_was_closed_prepares_and_asks_nothing(split_bundle):
    with QAPipeline(split_bundle, threads=1, max_concurrency=1) as qa:
        prepared = qa.prepare("Ada wrote it in 1843.")
        qa(question="Who?", prepared=prepared)
        qa.warm_up()
    for call in (lambda: qa.prepare("Ada."), lambda: qa(question="Who?", prepared=prepared)):
        with pytest.raises(InputError, match="was closed"):
            call()


PROGRAM = """
import os, signal, sys
from bskim_export import QAPipeline
from bskim_export.errors import ForkError

qa = QAPipeline(sys.argv[1], backend=sys.argv[2], threads=2)
prepared = qa.prepare("The book was written by Ada Lovelace in 1843. " * 20)
own = qa(question="Who?", prepared=prepared)
child = os.fork()
if child == 0:
    signal.alarm(100)
    for call in (lambda: qa(question="Who?", prepared=prepared) == own, lambda: len(qa.prepare("Ada.")) == 1):
        try:
            print("same" if call() else "other", flush=True)
        except ForkError as error:
            print(error, flush=True)
    sys.exit(0)
print("ended with", os.waitpid(child, 0)[1])
print("parent", "same" if qa(question="Who?", prepared=prepared) == own else "other")
"""


@pytest.mark.parametrize("name", HERE)
def test_a_forked_child_answers_and_ends_or_is_refused(name, split_bundle):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(split_bundle), name],
        capture_output=True, text=True, timeout=200, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second, *rest = done.stdout.splitlines()
    if name == "onnxruntime":
        assert (first, second) == ("same", "same")
    else:
        assert "cannot run here: its threads were not copied" in first
        assert "cannot run here: its threads were not copied" in second
    assert rest == ["ended with 0", "parent same"]
