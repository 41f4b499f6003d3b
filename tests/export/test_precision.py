import onnx
import pytest
import torch
from support import types_in_graph

from bskim_export import QAPipeline, export_bundle
from bskim_export.backends.catalogue import open_backend
from bskim_export.bundle.checks import WEIGHTS
from bskim_export.bundle.tensors import LOGITS
from bskim_export.data.question import sample
from bskim_export.errors import InputError, ParityError
from bskim_export.export.parity import EXACT
from bskim_export.export.precision import in_precision

HALF = {"fp16": onnx.TensorProto.FLOAT16, "bf16": onnx.TensorProto.BFLOAT16}


def test_matrices_are_half_precision_and_the_islands_are_not(half):
    manifest = half.bundle.manifest
    own = HALF[half.precision]
    assert manifest.precision == half.precision
    for stage in manifest.stages:
        graph, types = types_in_graph(half.bundle.path(stage.graph.file))
        for node in graph.node:
            if node.op_type in ("Softmax", "LayerNormalization"):
                assert types[node.input[0]] == onnx.TensorProto.FLOAT, node.name
        large = [i for i in graph.initializer if len(i.dims) == 2 and min(i.dims) > 2]
        assert large
        assert {i.data_type for i in large} == {own}
        # Logits are fp32; the context and the residual, which cross a boundary, are not.
        wanted = onnx.TensorProto.FLOAT if stage.skim is None else own
        assert {types[name] for name in stage.graph.output_names[:2]} == {wanted}
        assert (stage.graph.output_names[:2] == list(LOGITS)) == (stage.skim is None)
        if stage.skim is not None:
            graph, types = types_in_graph(half.bundle.path(stage.skim.file))
            assert all(i.data_type != own for i in graph.initializer)
            assert types["keep_probability"] == onnx.TensorProto.FLOAT


def test_weights_take_half_the_room(half, tiny_bundle):
    folders = (half.bundle.folder, tiny_bundle(*half.model))
    sizes = [(folder / WEIGHTS).stat().st_size for folder in folders]
    assert sizes[0] < 0.8 * sizes[1]  # tensors begin at page boundaries, which weighs in so small a model


def test_a_half_precision_bundle_answers_with_text_of_the_passage(half, squad):
    qa = QAPipeline(half.bundle, threshold=0, backend=open_backend("torch"))
    question = sample(squad, 1, seed=3)[0]
    answer = qa(question=question.question, context=question.context)
    assert answer["answer"]
    assert question.context[answer["start"] : answer["end"]] == answer["answer"]


def test_logits_of_half_precision_are_near_those_of_pytorch_and_not_the_same(half):
    difference = half.bundle.read_report()["parity"]["max_logit_difference"]
    assert 1e-5 < difference < (0.5 if half.precision == "fp16" else 4)


def test_the_model_itself_is_left_as_it_is(tiny):
    model = tiny().model
    lowered = in_precision(model, "bf16")
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert {p.dtype for p in lowered.predictors.parameters()} == {torch.float32}
    assert in_precision(model, "fp32") is model


@pytest.mark.parametrize("family", ["bert", "distilbert", "albert"])
def test_the_head_and_every_layer_norm_are_islands(family, tiny):
    lowered = in_precision(tiny(family).model, "fp16")
    hidden = torch.rand(1, 4, 32, dtype=torch.float16)
    assert lowered.family.head(lowered.backbone)(hidden).dtype == torch.float32
    norms = [m for m in lowered.backbone.modules() if isinstance(m, torch.nn.LayerNorm)]
    assert norms
    assert {m.weight.dtype for m in norms} == {torch.float32}


def test_a_bundle_that_is_too_far_off_is_not_written(tiny, squad, tmp_path):
    with pytest.raises(ParityError, match="dense logits differ"):
        export_bundle(tiny(), tmp_path / "x", precision="bf16", limits=EXACT, questions=sample(squad, 1))
    assert not (tmp_path / "x").exists()


def test_unknown_precisions_are_refused(tiny, tmp_path):
    with pytest.raises(InputError, match=r"no precision 'fp8'.*fp32, fp16, bf16"):
        export_bundle(tiny(), tmp_path / "x", precision="fp8")
