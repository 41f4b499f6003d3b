import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from support import windows_of
from test_export_precision import WIDE

from bskim_export import QAPipeline, export_bundle
from bskim_export.backends.catalogue import open_backend
from bskim_export.bundle.manifest import read_manifest
from bskim_export.data.question import sample
from bskim_export.errors import BundleError, InputError
from bskim_export.export.int8.ranges import METHODS, OUTLIERS, Calibration, measure_activations
from bskim_export.runtime.policy import KeepSchedule

KIND = {"bert": "diagonal", "albert": "question"}


@pytest.fixture(scope="module", params=KIND)
def whole(request, tiny, squad, tmp_path_factory):
    """A random model in INT8: its checkpoint and bundle."""
    checkpoint = tiny(request.param, (0, 1, 2), KIND[request.param])
    out = tmp_path_factory.mktemp("int8") / "engines"
    calibration = Calibration(sample(squad, 10, seed=1))
    export_bundle(checkpoint, out, precision="int8", limits=WIDE, calibration=calibration, questions=sample(squad, 2))
    return checkpoint, out


@pytest.fixture(scope="module")
def example_in_int8(minilm, squad, tmp_path_factory):
    """The trained model in INT8."""
    out = tmp_path_factory.mktemp("int8") / "minilm"
    calibration = Calibration(sample(squad, 20, seed=1))
    export_bundle(minilm, out, precision="int8", limits=WIDE, calibration=calibration, questions=sample(squad, 2))
    return out


def weights_of_products(graph):
    """Return the weight of each product with a constant, before DequantizeLinear, and the zero point of what it
    multiplies, None in fp32."""
    constants = {i.name: i for i in graph.initializer}
    made_by = {n.output[0]: n for n in graph.node}
    for node in graph.node:
        if node.op_type == "MatMulIntegerToFloat":  # ONNX Runtime's own, with scales and zero points as inputs
            yield constants[node.input[1]], constants[node.input[4]]
        if node.op_type != "MatMul":
            continue
        source = made_by.get(node.input[1])
        if source is not None and source.op_type == "DequantizeLinear":
            yield constants[source.input[0]], constants[made_by[node.input[0]].input[2]]
        elif node.input[1] in constants:
            yield constants[node.input[1]], None


def test_every_product_of_a_layer_is_int8_and_nothing_else_is(whole):
    _, folder = whole
    manifest = read_manifest(folder)
    assert manifest.precision == "int8"
    for stage in manifest.stages:
        for file, kind in ((stage.graph.file, np.uint8), (stage.graph.symmetric, np.int8)):
            graph = onnx.load(folder / file).graph
            products = list(weights_of_products(graph))
            inner = [weight for weight, zero in products if zero is None and weight.dims[0] == OUTLIERS]
            assert len(inner) == len([weight for weight, zero in products if zero is not None and weight.dims[0] == 64])
            assert len(products) > 3 * len(inner)
            for weight, zero in products:
                # the head's, ALBERT's projection of the embeddings, or the outlier channels of an FFN's second product
                if weight.dims[1] == 2 or weight.dims[0] in (16, OUTLIERS):
                    assert weight.data_type == onnx.TensorProto.FLOAT
                    continue
                assert weight.data_type == onnx.TensorProto.INT8
                zero_point = numpy_helper.to_array(zero)
                assert zero_point.dtype == kind
                assert kind is np.uint8 or zero_point == 0
        if stage.skim:
            assert stage.skim.symmetric is None
            assert not [n for n in onnx.load(folder / stage.skim.file).graph.node if n.op_type == "QuantizeLinear"]


def test_files_are_valid_onnx_and_all_of_them_are_listed(whole):
    _, folder = whole
    files = {str(p.relative_to(folder)) for p in (folder / "onnx").iterdir()} | {"tokenizer.json"}
    assert set(read_manifest(folder).files) == files
    for name in files:
        if name.endswith(".onnx"):
            onnx.checker.check_model(str(folder / name))


def test_stages_with_nothing_dropped_and_the_dense_graph_compute_with_the_same_integers(whole, squad):
    checkpoint, folder = whole
    qa, windows = QAPipeline(folder), windows_of(checkpoint, sample(squad, 5, seed=3))
    staged, dense = qa.orchestrator.run(windows, KeepSchedule([1.0])), qa.orchestrator.run(windows, None)
    for a, b, window in zip(staged, dense, windows, strict=True):
        real = slice(0, window.length)
        np.testing.assert_allclose(a.start_logits[real], b.start_logits[real], atol=1e-4)


@pytest.mark.parametrize("name", ["openvino", "torch"])
def test_runtimes_that_read_standard_onnx_are_as_near_to_fp32_as_onnx_runtime(name, whole, tiny_bundle, squad):
    pytest.importorskip(name)
    checkpoint, folder = whole
    family = checkpoint.model.config.model_type
    windows = windows_of(checkpoint, sample(squad, 5, seed=4))

    def logits(folder, name):
        results = QAPipeline(folder, backend=open_backend(name)).orchestrator.run(windows, None)
        return np.concatenate([r.start_logits[: w.length] for r, w in zip(results, windows, strict=True)])

    if (name, family) == ("openvino", "albert"):
        with pytest.raises(BundleError, match="gives wrong numbers"):
            logits(folder, name)
        return
    exact = logits(tiny_bundle(family, (0, 1, 2), KIND[family]), "onnxruntime")
    ours, theirs = (np.sqrt(np.square(logits(folder, n) - exact).mean()) for n in (name, "onnxruntime"))
    assert 1e-4 < ours < 2 * theirs


def test_a_window_does_not_depend_on_its_batch(whole, squad):
    checkpoint, folder = whole
    qa, windows = QAPipeline(folder, batch_size=1), windows_of(checkpoint, sample(squad, 12, seed=6))
    alone, together = qa.skim([windows]), qa.skim([windows], batch_size=8)
    for a, b in zip(alone[0], together[0], strict=True):
        np.testing.assert_array_equal(a.dropped_after, b.dropped_after)
        np.testing.assert_allclose(a.start_logits, b.start_logits, atol=1e-5)


@pytest.mark.slow
def test_the_trained_model_gives_mostly_its_own_answers(example_in_int8, minilm_qa, squad):
    questions = sample(squad, 40, seed=9)
    asked = {"question": [q.question for q in questions], "context": [q.context for q in questions]}
    ours, theirs = (qa(**asked) for qa in (QAPipeline(example_in_int8), minilm_qa))
    assert sum(a["answer"] == b["answer"] for a, b in zip(ours, theirs, strict=True)) >= 34


def test_ranges_hold_what_was_observed_and_clip_only_if_asked(tiny, squad):
    checkpoint = tiny()
    windows = windows_of(checkpoint, sample(squad, 3))
    wide, clipped = (measure_activations(checkpoint.model, windows, method) for method in ("minmax", "percentile"))
    assert len(wide) == 3 * 6  # query, key, value, two of the attention's and the FFN's outputs, the FFN's input
    assert any(clipped[w].most < wide[w].most for w in wide)
    for weight, one in wide.items():
        assert one.least <= clipped[weight].least <= clipped[weight].most <= one.most
        assert one.smoothing.shape in {(32,), (64,)}
        assert (one.smoothing > 0).all()
        assert len(one.outliers) == (OUTLIERS if one.smoothing.size == 64 else 0)  # the FFN's inner size


def test_what_cannot_be_observed_is_refused(tiny):
    with pytest.raises(InputError, match=rf"no calibration method 'mean'.*{METHODS[0]}"):
        measure_activations(tiny().model, [None], "mean")
    with pytest.raises(InputError, match="needs real questions"):
        measure_activations(tiny().model, [])
