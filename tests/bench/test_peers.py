"""Peers run the same weights: their answers are those of our dense model, whatever the batch."""

from dataclasses import replace

import numpy as np
import pytest
from support import EXAMPLE

from bskim_export import QAPipeline
from bskim_export.bench.peers import PEERS, PeerRunner, Source, Unavailable, catalogue, open_peers
from bskim_export.bench.rows import fastest_dense
from bskim_export.commands.bench_peers import NAMES
from bskim_export.data.question import sample
from bskim_export.evaluate.loop import evaluate

EXACT = ("torch fp32", "onnxruntime fp32", "openvino fp32", "ctranslate2 fp32")


@pytest.fixture(scope="module")
def peers(tmp_path_factory):
    missing = []
    source = Source(EXAMPLE, tmp_path_factory.mktemp("peers"), 2)
    names = [name for name in PEERS if name != "torch-compile"]  # which takes a minute
    found = {peer.name: peer for peer in open_peers(names, source, missing.append, lambda name: None)}
    assert [line.split(":")[0] for line in missing] == ["optimum"]
    return found


@pytest.mark.parametrize("name", EXACT)
def test_they_give_the_answers_of_the_dense_model(peers, minilm_bundle, squad, name):
    ours = replace(QAPipeline(minilm_bundle).answerer(), policy=None)
    theirs = replace(ours, runner=PeerRunner(peers[name], ours.runner.model))
    questions = sample(squad, 10, seed=5)
    expected = [done.text for done in evaluate(ours, questions)]
    for together in (1, 10):
        found = list(evaluate(theirs, questions, together=together))
        assert [done.text for done in found] == expected
    for mine, other in zip(evaluate(ours, questions), found, strict=True):
        assert mine.macs == other.macs
        for a, b in zip(mine.results, other.results, strict=True):
            real = np.isfinite(b.start_logits)
            np.testing.assert_allclose(b.start_logits[real], a.start_logits[real], atol=1e-3)


def test_coarser_forms_are_other_rows(peers):
    assert {"torch bf16", "onnxruntime int8", "ctranslate2 int8"} <= set(peers)
    assert "torch-compile" in PEERS
    assert tuple(PEERS) == NAMES


def test_a_peer_that_cannot_be_had_is_named_with_its_reason(tmp_path, monkeypatch):
    def gone(source):
        raise ImportError("No module named 'ctranslate2'")

    def refused(source):
        raise Unavailable("no compiler")
        yield

    monkeypatch.setitem(catalogue.PEERS, "ctranslate2", gone)
    monkeypatch.setitem(catalogue.PEERS, "torch-compile", refused)
    told, seen = [], []
    wanted = ["ctranslate2", "torch-compile"]
    assert open_peers(wanted, Source(EXAMPLE, tmp_path, 1), told.append, seen.append) == []
    assert seen == wanted
    assert "ctranslate2: it is not installed (No module named" in told[0]
    assert "bskim-export[peers]" in told[0]
    assert told[1] == "torch-compile: no compiler"


def row(name, f1, alone, many):
    return {"name": name, "f1": f1, "speedup_time": alone, "speedup_time_batched": many}


def test_the_fastest_dense_way_may_be_a_peer_but_must_be_as_good():
    rows = [
        row("dense", 80.0, 1.0, 1.0),
        row("skim", 80.0, 9.0, 9.0),
        row("a", 79.95, 1.2, 0.9),
        row("b", 75.0, 3.0, 3.0),
    ]
    assert fastest_dense(rows, "speedup_time")["name"] == "a"
    assert fastest_dense(rows, "speedup_time_batched")["name"] == "dense"
