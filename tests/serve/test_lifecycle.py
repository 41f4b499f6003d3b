"""Bundles that are replaced and workers that die, while questions come in: no answer is lost, and none is of two."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest
from serve.conftest import eventually

from bskim_export import QAPipeline
from bskim_export.data.question import sample

ADA = {"question": "Who wrote it?", "context": "It was written by Ada Lovelace in 1843."}


@contextmanager
def asking(service, questions, callers=4):
    """Ask all the time meanwhile. Yields the list of (question, answers)."""
    found, failed = [], []
    over = threading.Event()

    def call(first):
        number = first
        while not over.is_set():
            one = questions[number % len(questions)]
            try:
                found.append((one, service.ask(one.question, one.context)))
            except BaseException as error:
                failed.append(error)
                return
            number += callers

    threads = [threading.Thread(target=call, args=(i,)) for i in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failed, failed[0]


def answers_of(bundle, questions):
    qa = QAPipeline(bundle)
    return {q.id: [qa.run(q.question, q.context)] for q in questions}


@pytest.fixture
def two(tiny_bundle):
    """Two bundles that answer differently."""
    return tiny_bundle("bert"), tiny_bundle("distilbert")


def test_a_bundle_that_is_replaced_is_taken_over_without_a_lost_answer(serving, two, squad, tmp_path):
    questions = sample(squad, 8, seed=1)
    expected = [answers_of(bundle, questions) for bundle in two]
    assert expected[0] != expected[1]
    link = tmp_path / "engines"
    link.symlink_to(two[0])
    with serving(link, "--workers", 2) as service, asking(service, questions) as found:
        eventually(lambda: len(found) > 20)
        assert all(answers == expected[0][q.id] for q, answers in found)
        (tmp_path / "new").symlink_to(two[1])
        (tmp_path / "new").rename(link)  # noticed without a word
        eventually(lambda: service.metric("bskim_reloads_total") == 1, 60)
        begin = len(found) + 8
        eventually(lambda: len(found) > begin + 20)
        assert all(answers == expected[1][q.id] for q, answers in found[begin:])
        assert all(answers in (expected[0][q.id], expected[1][q.id]) for q, answers in found)
        service.process.send_signal(signal.SIGHUP)  # asked for, though nothing changed
        eventually(lambda: service.metric("bskim_reloads_total") == 2, 60)
        eventually(lambda: len(service.workers()) == 2, 60)


def test_a_bundle_that_is_broken_is_not_taken_over_until_it_is_whole(serving, two, squad, tmp_path):
    questions = sample(squad, 4, seed=1)
    expected = [answers_of(bundle, questions) for bundle in two]
    engines = tmp_path / "engines"
    shutil.copytree(two[0], engines)
    with serving(engines) as service, asking(service, questions) as found:
        new = tmp_path / "new"
        shutil.copytree(two[1], new)
        whole = (new / "onnx" / "weights.bin").read_bytes()
        (new / "onnx" / "weights.bin").write_bytes(whole[:-9])
        engines.rename(tmp_path / "old")
        new.rename(engines)
        eventually(lambda: service.metric("bskim_failed_reloads_total") >= 1, 60)
        assert any("is not taken over" in line["message"] for line in service.log())
        eventually(lambda: len(found) > 10)
        assert all(answers == expected[0][q.id] for q, answers in found)
        (engines / "onnx" / "weights.bin").write_bytes(whole)
        eventually(lambda: service.metric("bskim_reloads_total") == 1, 60)
        assert service.ask(questions[0].question, questions[0].context) == expected[1][questions[0].id]


def test_a_worker_that_dies_loses_no_answer(serving, two, squad):
    questions = sample(squad, 8, seed=1)
    expected = answers_of(two[0], questions)
    with serving(two[0], "--workers", 2) as service, asking(service, questions, callers=8) as found:
        for count in range(1, 4):
            eventually(lambda: service.metric("bskim_workers") == 2, 60)
            os.kill(service.workers()[0], signal.SIGKILL)
            eventually(lambda: service.metric("bskim_worker_restarts_total") == count, 60)  # noqa: B023
        eventually(lambda: service.metric("bskim_workers") == 2, 60)
        begin = len(found)
        eventually(lambda: len(found) > begin + 20)
        assert all(answers == expected[q.id] for q, answers in found)


def test_the_only_worker_dies_and_those_who_come_wait_for_another(serving, two):
    with serving(two[0]) as service:
        before = service.ask(**ADA)
        os.kill(service.workers()[0], signal.SIGKILL)
        eventually(lambda: service.call("/readyz")[0] == 503)
        assert service.call("/healthz")[0] == 200
        assert service.ask(**ADA) == before
        assert service.call("/readyz")[0] == 200


def test_workers_do_not_outlive_the_front(serving, two):
    with serving(two[0], "--workers", 2) as service:
        workers = service.workers()
        assert len(workers) == 2
        service.process.kill()
        eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in workers))


IMPATIENT = """
import sys
from pathlib import Path
from bskim_export.serve import service
from bskim_export.serve.app import make_app
from bskim_export.serve.front import Front
from bskim_export.serve.limits import Limits
from bskim_export.serve.metrics import Metrics
from bskim_export.serve.served import Served, ServedBundle
service.SLACK = 0.3
limits = Limits(body_timeout=0.5)
bundles = {"qa": ServedBundle("qa", Served(Path(sys.argv[1]), {}), limits)}
front = Front(bundles, limits, Metrics(bundles))
bound = service.bind("127.0.0.1", 0)
service.run(front, make_app(front), bound, 9, lambda: print(bound.getsockname()[1], flush=True))
"""


def test_callers_that_are_slow_on_purpose_do_not_stay(two):
    process = subprocess.Popen([sys.executable, "-c", IMPATIENT, str(two[0])], stdout=subprocess.PIPE, text=True)
    try:
        address = ("127.0.0.1", int(process.stdout.readline()))
        silent, slow, half = (socket.create_connection(address, timeout=20) for _ in range(3))
        slow.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Le")
        half.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        assert b" 408 " in half.makefile("rb").read()  # up to the end: it was closed
        assert [one.recv(1000) for one in (slow, silent)] == [b"", b""]
    finally:
        process.terminate()
        assert process.wait(30) == 0
