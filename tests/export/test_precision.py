import json

import onnx
import pytest
import torch

from bskim_export import QAPipeline, export_bundle
from bskim_export.backends.catalogue import open_backend
from bskim_export.bundle.manifest import read_manifest
from bskim_export.data.question import sample
from bskim_export.errors import InputError, ParityError
from bskim_export.export.parity import EXACT, Limits, Parity, check, limits_for
from bskim_export.export.passes.fp16_products import PRODUCTS
from bskim_export.export.precision import in_precision

HALF = {"fp16": onnx.TensorProto.FLOAT16, "bf16": onnx.TensorProto.BFLOAT16}
WIDE = Limits(logits=None, blocks=1, answers=1, f1_drop=100)
MODELS = [("bert", "bf16"), ("albert", "fp16"), ("roberta", "fp16")]
KIND = {"bert": "diagonal", "albert": "diagonal", "roberta": "question"}


@pytest.fixture(scope="module", params=MODELS, ids="-".join)
def half(request, tiny, squad, tmp_path_factory):
    """A random model in half precision: its family, precision and bundle."""
    family, precision = request.param
    checkpoint = tiny(family, (0, 1, 2), KIND[family])
    out = tmp_path_factory.mktemp("half") / "engines"
    export_bundle(checkpoint, out, precision=precision, limits=WIDE, questions=sample(squad, 2))
    return family, precision, out


def types(folder, file):
    model = onnx.shape_inference.infer_shapes(onnx.load(folder / file))
    graph = model.graph
    known = {v.name: v.type.tensor_type.elem_type for v in [*graph.input, *graph.output, *graph.value_info]}
    return graph, known | {i.name: i.data_type for i in graph.initializer}


def test_matrices_are_half_precision_and_the_islands_are_not(half):
    _, precision, folder = half
    manifest = read_manifest(folder)
    assert manifest.precision == precision
    for stage in manifest.stages:
        graph, known = types(folder, stage.graph.file)
        assert not graph.input or {known[i.name] for i in graph.input} >= {onnx.TensorProto.INT64}
        for node in graph.node:
            if node.op_type in ("Softmax", "LayerNormalization"):
                assert known[node.input[0]] == onnx.TensorProto.FLOAT, node.name
        large = [i for i in graph.initializer if len(i.dims) == 2 and min(i.dims) > 2]
        assert {i.data_type for i in large} <= {HALF[precision]}
        wanted = onnx.TensorProto.FLOAT if stage.skim is None else HALF[precision]
        assert known[stage.graph.outputs[0]] == wanted  # logits, or the context that crosses a boundary
        if stage.skim is not None:
            graph, known = types(folder, stage.skim.file)
            assert all(i.data_type != HALF[precision] for i in graph.initializer)
            assert known["keep_probability"] == onnx.TensorProto.FLOAT


def test_fp16_has_no_products_of_fp32(half):
    _, precision, folder = half
    manifest = read_manifest(folder)
    graphs = [manifest.dense, *(g for s in manifest.stages for g in (s.graph, s.skim) if g)]
    kinds = set()
    for one in graphs:
        graph, known = types(folder, one.file)
        kinds |= {known[v] for n in graph.node if n.op_type in PRODUCTS for v in [*n.input, *n.output] if v}
    assert kinds == ({onnx.TensorProto.FLOAT16} if precision == "fp16" else {HALF["bf16"], onnx.TensorProto.FLOAT})


def test_weights_take_half_the_room(half, tiny_bundle):
    family, _, folder = half
    whole = tiny_bundle(family, (0, 1, 2), KIND[family])
    sizes = [(f / "onnx" / "weights.bin").stat().st_size for f in (folder, whole)]
    assert sizes[0] < 0.8 * sizes[1]  # tensors begin at page boundaries, which weighs in so small a model


def test_answers_come_out_of_a_half_precision_bundle(half, squad):
    _, precision, folder = half
    qa = QAPipeline(folder, threshold=0, backend=open_backend("torch"))
    question = sample(squad, 1, seed=3)[0]
    answer = qa(question=question.question, context=question.context)
    assert question.context[answer["start"] : answer["end"]] == answer["answer"]
    evidence = json.loads((folder / "report.json").read_text())["parity"]
    assert 1e-5 < evidence["max_logit_difference"] < (0.5 if precision == "fp16" else 4)


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


@pytest.mark.parametrize(
    ("found", "message"),
    [({"different_answers": 4}, "4 of 200 answers"), ({"different_blocks": 21}, "21 of 1000 blocks"),
     ({"f1": 79.6}, r"F1 is 79\.60 instead of 80\.00"), ({"max_logit_difference": float("nan")}, "not numbers")],
)  # fmt: skip
def test_the_gate_counts_answers_blocks_and_f1(found, message):
    near = {"questions": 200, "blocks": 1000, "f1": 79.8, "f1_reference": 80.0, "max_logit_difference": 0.2}
    check(Parity(**near, different_answers=3, different_blocks=20), limits_for("fp16"))
    with pytest.raises(ParityError, match=message):
        check(Parity(**(near | found)), limits_for("fp16"))


def test_limits_of_fp32_cannot_be_loosened_and_unknown_precisions_are_refused(tiny, tmp_path):
    with pytest.raises(InputError, match="exactly"):
        limits_for("fp32", max_f1_drop=1.0)
    with pytest.raises(InputError, match=r"no precision 'fp8'.*fp32, fp16, bf16"):
        export_bundle(tiny(), tmp_path / "x", precision="fp8")
