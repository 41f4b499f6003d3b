import copy
import os
import re
import shutil
from dataclasses import replace

import onnx
import pytest
import torch
from support import EXAMPLE, SHAPE, make_model
from transformers import AlbertConfig, BertConfig

from bskim_export import QAPipeline, export_bundle
from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.manifest import RunDefaults
from bskim_export.checkpoint.loading import Checkpoint, load_checkpoint, save_checkpoint
from bskim_export.data.question import sample
from bskim_export.errors import BundleError, CheckpointError, ParityError
from bskim_export.export import exporter
from bskim_export.model.skim_config import SkimConfig


def graphs(folder):
    return {p.name: onnx.load(p, load_external_data=False) for p in sorted((folder / "onnx").glob("*.onnx"))}


def test_a_bundle_is_complete_and_holds_the_parity_that_was_measured(tiny_bundle):
    bundle = Bundle.open(tiny_bundle())
    assert [s.layers for s in bundle.manifest.stages] == [[0], [1], [2], []]
    assert [s.skim_layer for s in bundle.manifest.stages] == [0, 1, 2, None]
    parity = bundle.read_report()["parity"]
    assert parity["reference"].startswith("torch")
    assert parity["options"]["max_answer_len"] == 30
    assert parity["questions"] == 4
    assert parity["different_blocks"] == parity["different_answers"] == 0
    assert parity["max_logit_difference"] < 1e-4


def test_defaults_are_in_the_manifest_and_calls_run_at_them(tiny, squad, tmp_path):
    question = max(sample(squad, 50), key=lambda q: len(q.context))
    defaults = RunDefaults(max_seq_len=96, doc_stride=40, max_answer_len=7)
    manifest, parity = export_bundle(tiny("bert", (1,)), tmp_path / "x", questions=[question], defaults=defaults)
    assert manifest.defaults == Bundle.open(tmp_path / "x").manifest.defaults == defaults
    qa = QAPipeline(tmp_path / "x")
    options = qa.options()
    assert (options.max_seq_len, options.doc_stride, options.max_answer_len) == (96, 40, 7)
    assert options == qa.answerer().options
    # Parity was measured at them, too.
    assert parity.windows == len(qa.maker(question.question, question.context, 96, 40)) > 2


def test_without_defaults_windows_are_as_long_as_the_model_takes(tiny_bundle):
    manifest = Bundle.open(tiny_bundle()).manifest
    assert manifest.defaults == RunDefaults.of_length(384)
    assert QAPipeline(tiny_bundle()).options().max_seq_len == manifest.model.max_seq_len == 384


def test_what_scale_a_model_was_trained_for_travels_with_it(tiny, squad, tmp_path):
    given = tiny("bert", (1,))
    model = copy.deepcopy(given.model)
    model.skim = replace(model.skim, window_scale="logits")
    save_checkpoint(model, tmp_path / "model.pt", given.tokenizer)
    loaded = load_checkpoint(tmp_path / "model.pt")
    assert loaded.model.skim.window_scale == "logits"
    export_bundle(loaded, tmp_path / "x", questions=sample(squad, 1))
    qa = QAPipeline(tmp_path / "x")
    assert qa.options().window_scale == "logits"
    assert qa.options(window_scale="null").window_scale == "null"
    model.config.skim_window_scale = "other"
    with pytest.raises(CheckpointError, match=r"skim_window_scale in config\.json is 'other'"):
        SkimConfig.from_hf(model.config)


def test_defaults_that_the_model_cannot_run_at_are_refused_and_nothing_is_written(tiny, squad, tmp_path):
    defaults = RunDefaults.of_length(385)
    with pytest.raises(BundleError, match=r"defaults: max_seq_len.*384"):
        export_bundle(tiny("bert", ()), tmp_path / "x", questions=sample(squad, 1), defaults=defaults)
    assert not os.listdir(tmp_path)


def test_progress_goes_through_all_activities_to_their_end(tiny, squad, tmp_path):
    calls = []
    questions = sample(squad, 2)
    export_bundle(tiny("bert", (1,)), tmp_path / "x", questions=questions, progress=lambda *call: calls.append(call))
    activities = list(dict.fromkeys(what for what, _, _ in calls))
    assert activities == [exporter.EXPORTING, exporter.MEASURING_PARITY]
    for what in activities:
        done = [call[1] for call in calls if call[0] == what]
        (total,) = {call[2] for call in calls if call[0] == what}
        assert done == list(range(total + 1))


@pytest.mark.parametrize("layers", [(0, 1, 2), (1,), (0, 2)])
def test_graphs_are_valid_have_named_dimensions_and_no_data_dependent_operation(tiny_bundle, layers):
    folder = tiny_bundle("bert", layers)
    for name, model in graphs(folder).items():
        onnx.checker.check_model(folder / "onnx" / name)
        assert model.ir_version == 10
        operators = {n.op_type for n in model.graph.node}
        if name != "skim.onnx":  # which is for runtimes that compile shapes that depend on data
            assert not operators & {"NonZero", "Compress", "EyeLike", "If"}, name
        assert "Loop" not in operators
        for value in [*model.graph.input, *model.graph.output]:
            dynamic = [d.dim_param for d in value.type.tensor_type.shape.dim if not d.HasField("dim_value")]
            assert dynamic or value.name == "length", f"{name}: {value.name}"
            assert all(d and not re.fullmatch(r"s\d+", d) for d in dynamic), f"{name}: {value.name} {dynamic}"


def test_graphs_carry_no_paths_of_the_machine_that_built_them(tiny_bundle):
    for path in (tiny_bundle() / "onnx").glob("*.onnx"):
        assert b"site-packages" not in path.read_bytes()
        assert os.getcwd().encode() not in path.read_bytes()


def test_every_weight_is_stored_once(minilm_bundle, minilm):
    parameters = sum(p.numel() * 4 for p in minilm.model.backbone.parameters())
    assert (minilm_bundle / "onnx" / "weights.bin").stat().st_size < 1.02 * parameters
    assert all(p.stat().st_size < 400_000 for p in (minilm_bundle / "onnx").glob("*.onnx"))


def test_weights_that_layers_share_are_stored_once(unigram, tmp_path, squad):
    shape = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 512}
    model = make_model(AlbertConfig(**shape, embedding_size=16, vocab_size=2000), (1,))
    export_bundle(Checkpoint(model, unigram, "albert"), tmp_path / "x", questions=sample(squad, 2))
    (layer,) = model.backbone.albert.encoder.albert_layer_groups
    shared = sum(p.numel() * 4 for p in layer.parameters())
    rest = sum(p.numel() * 4 for p in model.parameters()) - shared
    assert (tmp_path / "x" / "onnx" / "weights.bin").stat().st_size < 1.5 * shared + rest
    for name, graph in graphs(tmp_path / "x").items():  # every stage and dense.onnx
        places = [e.value for i in graph.graph.initializer for e in i.external_data if e.key == "offset"]
        assert len(places) == len(set(places)), name


def test_a_model_without_predictors_exports_dense(tiny_bundle):
    manifest = Bundle.open(tiny_bundle("bert", ())).manifest
    assert len(manifest.stages) == 1
    assert manifest.dense == manifest.stages[0].graph
    qa = QAPipeline(tiny_bundle("bert", ()))
    assert qa.run(question="Who?", context="It is Ada.", return_skim=True)["skipped"] == []


def test_a_bundle_can_be_moved(tiny_bundle, tmp_path):
    moved = shutil.copytree(tiny_bundle(), tmp_path / "elsewhere")
    assert QAPipeline(moved)(question="Who?", context="It is Ada.")["answer"]


def test_exporting_over_a_bundle_replaces_it(tiny, tmp_path, squad):
    out = tmp_path / "bundle"
    export_bundle(tiny("bert", (1,)), out, questions=sample(squad, 1))
    export_bundle(tiny("bert", ()), out, questions=sample(squad, 1))
    assert Bundle.open(out).skim_layers == []
    assert os.listdir(tmp_path) == ["bundle"]


def test_a_graph_that_is_wrong_leaves_the_old_bundle(tiny, tmp_path, squad, monkeypatch):
    out = tmp_path / "bundle"
    export_bundle(tiny("bert", (1,)), out, questions=sample(squad, 1))
    before = (out / "manifest.json").read_bytes()
    original = exporter.make_stages

    def broken(model):
        stages = original(model)
        stages[-1].head = torch.nn.Linear(32, 2)
        return stages

    monkeypatch.setattr(exporter, "make_stages", broken)
    with pytest.raises(ParityError, match="answers differ"):
        export_bundle(tiny("bert", (1,)), out, questions=sample(squad, 6))
    assert (out / "manifest.json").read_bytes() == before
    assert os.listdir(tmp_path) == ["bundle"]


def test_something_else_is_never_overwritten(tiny, tmp_path):
    (tmp_path / "precious.txt").write_text("x")
    with pytest.raises(BundleError, match="not a bundle; nothing was changed"):
        export_bundle(tiny("bert", (1,)), tmp_path)


def test_a_tokenizer_of_another_model_is_refused(tiny, tmp_path, wordpiece):
    with pytest.raises(CheckpointError, match="do not belong together"):
        export_bundle(replace(tiny("roberta"), tokenizer=wordpiece), tmp_path / "x")


def test_an_export_without_questions_is_refused_before_anything_is_done(tiny, tmp_path):
    steps = []
    with pytest.raises(ParityError, match="no question"):
        export_bundle(tiny("bert", ()), tmp_path / "x", questions=[], progress=lambda *step: steps.append(step))
    assert (steps, os.listdir(tmp_path)) == ([], [])


def test_windows_end_where_whole_blocks_of_positions_end(wordpiece, tmp_path, squad):
    model = make_model(BertConfig(**SHAPE, max_position_embeddings=100), (1,), max_seq_len=64)
    with pytest.raises(CheckpointError, match="from 1 to 96"):
        model.set_max_seq_len(97)
    model.set_max_seq_len(96)
    export_bundle(Checkpoint(model, wordpiece, "short"), tmp_path / "x", questions=sample(squad, 2))
    assert QAPipeline(tmp_path / "x")(question="Who?", context="It is Ada. " * 99)["answer"]


def test_the_example_checkpoint_skims_with_calibrated_thresholds(minilm):
    assert minilm.model.skim.layers == (0, 1, 2, 3, 4, 5)
    assert minilm.model.skim.predictor == "question"
    assert (EXAMPLE / "model.safetensors").is_file()
    assert [t > 0 for t in minilm.model.skim.thresholds] == [True, True, True, True, True, False]
    assert all(t > 0 for t in minilm.model.skim.document_thresholds)
