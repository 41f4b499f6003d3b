"""Every backend that is installed here makes of a bundle what ONNX Runtime makes of it, in blocks and in answers."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support import windows_of, without_ties

from bskim_export import QAPipeline
from bskim_export.backends.catalogue import CATALOGUE, open_backend
from bskim_export.bundle.bundle import Bundle
from bskim_export.data.question import sample
from bskim_export.errors import BundleError, InputError

HERE = [name for name, e in CATALOGUE.items() if e.device == "CPU" and e.installed]
OTHERS = [name for name in HERE if name != "onnxruntime"]
MODELS = [
    ("bert", (0, 1, 2), "diagonal"),
    ("albert", (0, 1, 2), "question"),
    ("distilbert", (0, 1, 2), "diagonal"),
    ("roberta", (0, 1, 2), "question"),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda m: "-".join((m[0], m[2])))
@pytest.mark.parametrize("name", OTHERS)
def test_blocks_and_logits_are_those_of_onnx_runtime(name, model, tiny, tiny_bundle, squad):
    ours, theirs = (QAPipeline(tiny_bundle(*model), backend=open_backend(n, threads=2)) for n in (name, "onnxruntime"))
    windows = without_ties(windows_of(tiny(*model), sample(squad, 10, seed=8)), theirs)
    for policy in (None, ours.policy):
        results = (p.runner.run(windows, policy) for p in (ours, theirs))
        for window, a, b in zip(windows, *results, strict=True):
            np.testing.assert_array_equal(a.dropped_after, b.dropped_after)
            real = slice(window.length)
            np.testing.assert_allclose(a.start_logits[real], b.start_logits[real], atol=1e-4)
            np.testing.assert_allclose(a.end_logits[real], b.end_logits[real], atol=1e-4)


@pytest.mark.parametrize("name", OTHERS)
def test_answers_of_the_trained_model_are_those_of_onnx_runtime(name, minilm_bundle, squad):
    questions = sample(squad, 40, seed=9)
    asked = {"question": [q.question for q in questions], "context": [q.context for q in questions]}
    ours, theirs = (
        QAPipeline(minilm_bundle, backend=open_backend(n, threads=2)).run(**asked) for n in (name, "onnxruntime")
    )
    assert [a["answer"] for a in ours] == [a["answer"] for a in theirs]


@pytest.mark.parametrize("name", HERE)
def test_a_pipeline_answers_the_same_from_several_threads_at_once(name, minilm_bundle, squad):
    qa = QAPipeline(minilm_bundle, backend=open_backend(name, threads=2))
    questions = sample(squad, 12, seed=10)
    alone = [qa(question=q.question, context=q.context) for q in questions]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda q: qa(question=q.question, context=q.context), questions))
    assert together == alone


@pytest.mark.parametrize("name", HERE)
def test_a_file_that_is_no_graph_is_refused(name, tiny_bundle, tmp_path):
    folder = shutil.copytree(tiny_bundle(), tmp_path / "bundle")
    (folder / "onnx" / "stage_00.onnx").write_bytes(b"not a graph" * 100)
    bundle = Bundle.open(folder, verify=False)
    with pytest.raises(BundleError, match=r"stage_00\.onnx"):
        open_backend(name).load(bundle, bundle.manifest.stages[0].graph)


def test_openvino_computes_in_bf16_only_when_asked(tiny_bundle, tiny, squad):
    pytest.importorskip("openvino")
    try:
        coarse = open_backend("openvino", precision="bf16")
    except InputError:
        pytest.skip("this processor has no bf16")
    windows = windows_of(tiny(), sample(squad, 4, seed=11))
    exact, rounded = (
        QAPipeline(tiny_bundle(), threshold=0, backend=b).runner.run(windows, None)
        for b in (open_backend("openvino"), coarse)
    )
    differences = [np.abs(a.start_logits - b.start_logits).max() for a, b in zip(exact, rounded, strict=True)]
    assert 1e-4 < max(differences) < 1


@pytest.mark.parametrize("name", HERE)
def test_threads_below_one_are_refused(name):
    with pytest.raises(ValueError, match="threads must be a whole number from 1 to"):
        open_backend(name, threads=0)
