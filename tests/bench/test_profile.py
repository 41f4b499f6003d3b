"""Where the time goes: the parts of a question are those of its answer, and every node of a graph has its part."""

import time
from collections import Counter
from dataclasses import replace

import pytest

from bskim_export import QAPipeline
from bskim_export.backends.onnxruntime_profile import NodeTime, ProfilingBackend
from bskim_export.bench import profile as bench
from bskim_export.bundle import single_graph
from bskim_export.data.question import sample
from bskim_export.runtime.opening import make_runner
from bskim_export.runtime.policy import Thresholds


def test_what_runs_inside_another_part_counts_once():
    watch = bench.Stopwatch()
    start = time.perf_counter()
    with watch.part("outer"):
        time.sleep(0.02)
        with watch.part("inner", within="outer"):
            time.sleep(0.05)
    assert sum(watch.seconds.values()) == pytest.approx(time.perf_counter() - start, abs=0.01)
    assert watch.seconds["inner"] >= 0.05
    assert 0.02 <= watch.seconds["outer"] < 0.05


def test_the_parts_add_up_to_the_time_of_the_questions(minilm_bundle, squad):
    qa = QAPipeline(minilm_bundle)
    questions = sample(squad, 8)
    seen = []
    start = time.perf_counter()
    found = bench.profile({"skim": qa.answerer()}, qa.bundle, qa.backend, questions, lambda: seen.append(1))
    whole = time.perf_counter() - start
    assert len(seen) == 8
    assert set(found["skim"]) == set(bench.HOST)
    assert all(seconds > 0 for seconds in found["skim"].values())
    assert sum(found["skim"].values()) < whole  # which has the warm-up and the loading too
    assert max(found["skim"], key=found["skim"].get) == "engine"


def test_every_node_has_its_part(minilm_bundle, squad):
    qa = QAPipeline(minilm_bundle)
    model, layers = qa.bundle.model, len(qa.bundle.skim_layers)
    windows = [w for q in sample(squad, 2) for w in qa.answerer().windows(q.question, q.context)]
    counts = {}
    for policy in (None, Thresholds(dict.fromkeys(qa.bundle.skim_layers, 1e-30))):
        with ProfilingBackend(1) as backend:
            make_runner(qa.bundle, backend).run(windows[:1], policy)
            nodes = list(backend.node_times())
        counts[policy] = Counter((bench.part_of(node, model), node.kind) for node in nodes)
        attention = [node for node in nodes if node.kind == "Attention"]
        assert len(attention) == model.num_layers
        assert all(node.microseconds > 0 for node in attention)
        weights = [node for node in nodes if node.kind == "MatMul" and model.intermediate_size in node.sizes[-1]]
        assert len(weights) == model.num_layers
    dense, skim = counts.values()
    for found in (dense, skim):
        assert found["FFN", "MatMul"] == 2 * model.num_layers
        assert found["attention", "MatMul"] == 4 * model.num_layers
        assert found["embeddings", "Gather"] == 3
        assert found["head", "MatMul"] == 1
        assert found["norms and residuals", "ReduceMean"] == 2 * (2 * model.num_layers + 1)
    assert {part for part, _ in dense} == {"embeddings", "attention", "FFN", "norms and residuals", "head"}
    assert skim["predictors", "Softmax"] == layers
    assert skim["compaction and decisions", "NonZero"] == 2 * layers + 1


def test_nodes_that_onnx_runtime_joined_are_found_by_their_sizes(minilm_bundle):
    model = QAPipeline(minilm_bundle).bundle.model
    joined = NodeTime(single_graph.FILE, "node_7", "BiasGelu", [[4, 32, model.intermediate_size]], 2.0)
    assert bench.part_of(joined, model) == "FFN"
    assert bench.part_of(replace(joined, kind="And", sizes=[[1, 4]]), model) == "compaction and decisions"
    assert bench.add_up([joined, joined], model)["FFN"] == pytest.approx(4e-6)
