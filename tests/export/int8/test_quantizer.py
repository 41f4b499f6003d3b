import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from support import windows_of

from bskim_export import QAPipeline, export_bundle
from bskim_export.backends.catalogue import open_backend
from bskim_export.data.question import sample
from bskim_export.errors import BundleError
from bskim_export.export.int8.quantizer import quantise_columns, scale_of
from bskim_export.export.int8.ranges import OUTLIERS
from bskim_export.export.int8.recipe import Int8Calibration
from bskim_export.export.parity import UNJUDGED
from bskim_export.runtime.policy import KeepSchedule


@pytest.fixture(scope="module")
def example_in_int8(minilm, squad, tmp_path_factory):
    """The folder of the trained model in INT8."""
    out = tmp_path_factory.mktemp("int8") / "minilm"
    calibration = Int8Calibration(sample(squad, 20, seed=1))
    questions = sample(squad, 2)
    export_bundle(minilm, out, precision="int8", limits=UNJUDGED, int8_calibration=calibration, questions=questions)
    return out


def weights_of_products(graph):
    """Yield the weight of each product with a constant, before DequantizeLinear, and the zero point of what it
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


def test_every_product_of_a_layer_is_int8_and_nothing_else_is(int8):
    manifest = int8.bundle.manifest
    assert manifest.precision == "int8"
    for stage in manifest.stages:
        for file, kind in ((stage.graph.file, np.uint8), (stage.graph.symmetric, np.int8)):
            graph = onnx.load(int8.bundle.path(file)).graph
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
            graph = onnx.load(int8.bundle.path(stage.skim.file)).graph
            assert not [n for n in graph.node if n.op_type == "QuantizeLinear"]


def test_files_are_valid_onnx_and_all_of_them_are_listed(int8):
    folder = int8.bundle.folder
    files = {str(p.relative_to(folder)) for p in (folder / "onnx").iterdir()} | {"tokenizer.json"}
    assert set(int8.bundle.manifest.files) == files
    for name in files:
        if name.endswith(".onnx"):
            onnx.checker.check_model(str(folder / name))


def test_stages_with_nothing_dropped_and_the_dense_graph_compute_with_the_same_integers(int8, squad):
    qa = QAPipeline(int8.bundle)
    windows = windows_of(int8.checkpoint, sample(squad, 5, seed=3))
    staged = qa.runner.run(windows, KeepSchedule([1.0]))
    dense = qa.runner.run(windows, None)
    for a, b, window in zip(staged, dense, windows, strict=True):
        real = slice(0, window.length)
        np.testing.assert_allclose(a.start_logits[real], b.start_logits[real], atol=1e-4)


@pytest.mark.parametrize("name", ["openvino", "torch"])
def test_runtimes_that_read_standard_onnx_are_as_near_to_fp32_as_onnx_runtime(name, int8, tiny_bundle, squad):
    pytest.importorskip(name)
    windows = windows_of(int8.checkpoint, sample(squad, 5, seed=4))

    def logits(bundle, name):
        results = QAPipeline(bundle, backend=open_backend(name)).runner.run(windows, None)
        return np.concatenate([r.start_logits[: w.length] for r, w in zip(results, windows, strict=True)])

    if (name, int8.model[0]) == ("openvino", "albert"):
        with pytest.raises(BundleError, match="gives wrong numbers"):
            logits(int8.bundle, name)
        return
    exact = logits(tiny_bundle(*int8.model), "onnxruntime")
    ours, theirs = (np.sqrt(np.square(logits(int8.bundle, n) - exact).mean()) for n in (name, "onnxruntime"))
    assert 1e-4 < ours < 2 * theirs


def test_a_window_does_not_depend_on_its_batch(int8, squad):
    qa = QAPipeline(int8.bundle)
    windows = windows_of(int8.checkpoint, sample(squad, 12, seed=6))
    alone = qa.answerer(qa.options(batch_size=1)).run(windows)
    together = qa.answerer(qa.options(batch_size=8)).run(windows)
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a.dropped_after, b.dropped_after)
        np.testing.assert_allclose(a.start_logits, b.start_logits, atol=1e-5)


@pytest.mark.parametrize(("least", "most"), [(-1.0, 50.0), (3.0, 50.0), (-7.0, -2.0), (0.0, 0.0)])
@pytest.mark.parametrize("signed", [False, True])
def test_a_scale_covers_its_range_and_holds_zero_exactly(least, most, signed):
    scale, zero_point = scale_of(least, most, signed)
    limits = np.iinfo(zero_point.dtype)
    assert limits.min <= zero_point <= limits.max
    lowest, highest = ((int(limit) - int(zero_point)) * float(scale) for limit in (limits.min, limits.max))
    assert lowest - scale <= least
    assert most <= highest + scale


def test_columns_keep_their_own_scale_also_one_of_zeros():
    weight = np.array([[1000.0, 0.001, 0.0], [-500.0, 0.0005, 0.0]], np.float32)
    integers, scale = quantise_columns(weight)
    assert integers.dtype == np.int8
    np.testing.assert_allclose(integers * scale, weight, rtol=0.01)


@pytest.mark.slow
def test_the_trained_model_gives_mostly_its_own_answers(example_in_int8, minilm_qa, squad):
    questions = sample(squad, 40, seed=9)
    asked = {"question": [q.question for q in questions], "context": [q.context for q in questions]}
    ours, theirs = (qa(**asked) for qa in (QAPipeline(example_in_int8), minilm_qa))
    assert sum(a["answer"] == b["answer"] for a, b in zip(ours, theirs, strict=True)) >= 34
