"""Split models as bundles: their graphs, their proof, and what is refused."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from support import usual

from bskim_export import Bundle, QAPipeline
from bskim_export.backends.catalogue import CATALOGUE
from bskim_export.backends.profiles import Profile
from bskim_export.backends.tensorrt import build_engine
from bskim_export.bundle.checks import READ
from bskim_export.bundle.single_graph import DENSE_FILE
from bskim_export.bundle.split_graph import PREPARE, QUESTION
from bskim_export.checkpoint.loading import Checkpoint
from bskim_export.data.question import sample
from bskim_export.errors import BundleError, InputError, ParityError
from bskim_export.export.cpu.fastest import export_fastest
from bskim_export.export.exporter import export_bundle
from bskim_export.export.parity import Parity, find_faults
from bskim_export.export.single.standalone import export_standalone
from bskim_export.export.split_parity import measure_split_parity
from bskim_export.runtime.asked import Passage
from bskim_export.runtime.orchestrator import Orchestrator
from bskim_export.runtime.prepared.collection import Collection
from bskim_export.runtime.single import SingleRunner

CASES = [("bert", "question"), ("roberta", "question"), ("distilbert", "diagonal"), ("albert", "question")]


def split_model(tiny, family: str = "bert", predictor: str = "question", layers: tuple[int, ...] = (1,)) -> Checkpoint:
    """Return a random model that is split behind its first layer."""
    whole = tiny(family, (0, 1, 2), predictor)
    model = copy.deepcopy(whole.model)
    torch.manual_seed(1)
    model.split(1, layers)
    model.set_thresholds(0.5)
    return Checkpoint(model.eval(), whole.tokenizer, f"split-{family}")


@pytest.fixture(scope="module", params=usual(CASES, ["roberta", "albert"]), ids="-".join)
def split(request, tiny, squad, exported) -> tuple[Checkpoint, Bundle]:
    """A random split model and its bundle, of which export proved that it does what PyTorch does."""
    checkpoint = split_model(tiny, *request.param)
    out = exported(f"split-{'-'.join(request.param)}", checkpoint, questions=sample(squad, 4))
    return checkpoint, Bundle.open(out)


def test_the_bundle_has_the_three_graphs_and_its_manifest_names_them(split):
    _, bundle = split
    found = bundle.manifest.split
    assert (found.layer, found.prepare.file, found.question.file) == (1, PREPARE, QUESTION)
    assert bundle.manifest.dense.file == READ
    assert bundle.manifest.dense.input_names[0] == "states"
    assert [stage.layers for stage in bundle.manifest.stages] == [[1], [2]]
    assert [graph.file for graph in bundle.manifest.graphs_alone] == [DENSE_FILE]
    for graph in bundle.manifest.graphs:
        assert bundle.path(graph.file).is_file()


def test_no_block_and_no_answer_differs_from_pytorch_on_further_questions(split, squad):
    checkpoint, bundle = split
    parity = measure_split_parity(QAPipeline(bundle), checkpoint.model, sample(squad, 12, seed=5))
    assert not find_faults(parity)
    assert parity.questions == 12
    assert parity.blocks > 12
    assert 0 < parity.max_logit_difference < 1e-3


def test_parity_sees_other_weights_in_each_part(split, squad):
    """The proof can fail: with one weight of the model changed, below or above the split, it does."""
    checkpoint, bundle = split
    qa = QAPipeline(bundle)
    changed = [
        lambda m: m.family.layers(m.backbone)[0],
        lambda m: m.family.layers(m.backbone)[2],
        lambda m: m.retrieval.passage[2],
        lambda m: m.retrieval.question[2],
    ]
    for part in changed:
        other = copy.deepcopy(checkpoint.model)
        with torch.no_grad():
            for parameter in part(other).parameters():
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)) * 0.3)
        assert find_faults(measure_split_parity(qa, other, sample(squad, 2)))


@pytest.mark.parametrize("name", ["openvino", "torch"])
def test_other_backends_choose_and_answer_alike(name, tiny, squad, exported):
    if CATALOGUE[name].installed is None:
        pytest.skip(f"{name} is not installed")
    checkpoint = split_model(tiny)
    bundle = Bundle.open(exported("split-bert-question", checkpoint, questions=sample(squad, 4)))
    parity = measure_split_parity(QAPipeline(bundle, backend=name), checkpoint.model, sample(squad, 6, seed=2))
    assert (parity.different_answers, parity.different_blocks) == (0, 0)
    assert parity.max_logit_difference < 1e-3


def test_tensorrt_compiles_its_graphs_for_all_that_is_read(split):
    pytest.importorskip("tensorrt_rtx")
    _, bundle = split
    manifest = bundle.manifest
    assert manifest.longest == (12 + manifest.split.window_blocks) * 32
    profile = Profile.of(manifest.longest)
    for graph in (manifest.split.prepare, manifest.split.question, manifest.dense):
        shapes = profile.shapes(graph.input_names, bundle.model)
        assert build_engine(bundle.path(graph.standard), shapes, compute_capability=(8, 9))


def test_a_window_that_is_read_alone_gives_what_stages_give(split, squad):
    """Padding in the middle, which the graph of one window cannot know of, changes nothing."""
    _, bundle = split
    qa = QAPipeline(bundle, threshold=0)
    answerer = qa.split_answerer()
    stages = replace(answerer, upper=replace(answerer.upper, runner=Orchestrator(bundle, qa.backend)))
    assert isinstance(qa.runner, SingleRunner)
    for question in sample(squad, 4, seed=9):
        text = answerer.prepare([Passage(question.context), Passage("Ada."), Passage(question.context)], True)
        collection = Collection([text], answerer.identity)
        (alone,), (batch,) = (one.ask([(question.question, collection)]) for one in (answerer, stages))
        for reading, a, b in zip(alone.readings, alone.results, batch.results, strict=True):
            there = reading.window.is_token
            assert not there.all()
            assert np.abs(a.start_logits - b.start_logits)[there].max() < 1e-4
            assert np.abs(a.end_logits - b.end_logits)[there].max() < 1e-4
        assert alone.answers()[0]["answer"] == batch.answers()[0]["answer"]


def test_a_model_without_upper_predictors_reads_in_one_graph(tiny, squad, tmp_path):
    checkpoint = split_model(tiny, layers=())
    manifest, parity = export_bundle(checkpoint, tmp_path / "out", questions=sample(squad, 3))
    assert len(manifest.stages) == 1
    assert manifest.stages[0].graph == manifest.dense
    assert not find_faults(parity)


def test_precisions_and_ways_that_there_are_not_are_refused_before_anything_is_written(tiny, squad, tmp_path):
    checkpoint = split_model(tiny)
    out = tmp_path / "out"
    for refused in (
        lambda: export_bundle(checkpoint, out, precision="fp16"),
        lambda: export_fastest(checkpoint, out, sample(squad, 2)),
        lambda: export_standalone(checkpoint, out / "model.onnx"),
    ):
        with pytest.raises(InputError, match=r"split model|The model is split"):
            refused()
    assert not out.exists()


def test_a_bundle_that_is_too_far_from_pytorch_is_not_written(tiny, squad, tmp_path, monkeypatch):
    far = Parity(questions=1, windows=1, blocks=1, max_logit_difference=1.0)
    monkeypatch.setattr("bskim_export.export.exporter.measure_split_parity", lambda *_: far)
    with pytest.raises(ParityError, match="dense logits differ"):
        export_bundle(split_model(tiny), tmp_path / "out", questions=sample(squad, 1))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"layer": 0}, "split: layer"),
        ({"layer": 3}, "split: layer"),
        ({"layer": 2}, "stages"),
        ({"parts": 5}, "split: parts"),
        ({"width": 0}, "split: width"),
        ({"width": 3}, "split: prepare: outputs"),
        ({"max_blocks": 0}, "split: max_blocks"),
    ],
)
def test_a_manifest_whose_parts_do_not_fit_is_refused(change, place, split, tmp_path):
    _, bundle = split
    manifest = replace(bundle.manifest, split=replace(bundle.manifest.split, **change))
    with pytest.raises(BundleError, match=place):
        Bundle.create(tmp_path, manifest)


def test_the_first_stage_of_a_joint_model_is_refused_in_a_split_one_and_the_reverse(split, tiny_bundle, tmp_path):
    _, bundle = split
    joint = Bundle.open(tiny_bundle("bert", (0, 1, 2), "question")).manifest
    for manifest in (replace(joint, split=bundle.manifest.split), replace(bundle.manifest, split=None)):
        with pytest.raises(BundleError):
            Bundle.create(tmp_path, manifest)


def test_what_reads_question_and_passage_together_says_that_it_is_not_for_split_models(split):
    _, bundle = split
    qa = QAPipeline(bundle)
    with pytest.raises(BundleError, match=r"is split: it answers by"):
        qa.answerer()
    with pytest.raises(BundleError, match=r"is split: it answers by"):
        qa.highlight("Who?", ["Ada wrote it."])
    qa.warm_up()
    assert np.isfinite(qa(question="Who wrote it?", context="Ada wrote it in 1843.")["score"])
