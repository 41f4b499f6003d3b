"""The table of tensors: consistent in itself, and what real graphs have."""

import onnx
import pytest
from support import usual

from bskim_export import Bundle
from bskim_export.bundle import tensors
from bskim_export.bundle.tensors import DYNAMIC, FIXED, TENSORS, Route

GROUPS = {
    "tokens": tensors.TOKEN_INPUTS,
    "prepare": tensors.PREPARE_INPUTS,
    "question": tensors.QUESTION_INPUTS,
    "reading": tensors.READING_INPUTS,
    "boundary": tensors.BOUNDARY_INPUTS,
    "grid": tensors.GRID_INPUTS,
    "stage outputs": tensors.STAGE_OUTPUTS,
    "predictor inputs": tensors.PREDICTOR_INPUTS,
    "predictor outputs": tensors.PREDICTOR_OUTPUTS,
    "logits": tensors.LOGITS,
}
ONNX_TYPES = {"int64": 7, "float32": 1, "float16": 10, "bfloat16": 16}


def test_every_tensor_is_in_some_group_and_every_group_is_in_the_table():
    assert {name for group in GROUPS.values() for name in group} == set(TENSORS)


@pytest.mark.parametrize("name", TENSORS)
def test_axes_are_known_and_products_are_of_a_dynamic_axis_and_a_fixed_one(name):
    for axis in TENSORS[name].axes:
        first, _, factor = axis.partition(" * ")
        assert first in (DYNAMIC if factor else {**DYNAMIC, **FIXED})
        assert not factor or factor in FIXED


def test_what_goes_from_graph_to_graph_keeps_its_shape_under_both_names():
    for given, taken in (("context", "last_context"), ("residual", "last_residual")):
        assert TENSORS[given].route is TENSORS[taken].route is Route.GRAPH_TO_GRAPH
        assert TENSORS[given].dtype == TENSORS[taken].dtype
        assert TENSORS[given].axes[1:] == TENSORS[taken].axes[1:]


@pytest.mark.parametrize("predictor", ["diagonal", "question"])
@pytest.mark.parametrize("family", usual(["bert", "roberta", "albert"], ["roberta"]))
def test_the_graphs_of_a_bundle_have_the_types_and_axes_that_the_manifest_says(family, predictor, tiny_bundle):
    bundle = Bundle.open(tiny_bundle(family, (0, 1, 2), predictor))
    for graph in bundle.manifest.graphs:
        found = onnx.load(bundle.path(graph.file), load_external_data=False).graph
        for values, specs in ((found.input, graph.inputs), (found.output, graph.outputs)):
            assert [v.name for v in values] == [s.name for s in specs]
            for value, spec in zip(values, specs, strict=True):
                assert value.type.tensor_type.elem_type == ONNX_TYPES[spec.dtype]
                dims = value.type.tensor_type.shape.dim
                assert len(dims) == len(spec.axes)
                for dim, axis in zip(dims, spec.axes, strict=True):
                    assert dim.dim_value == (axis if isinstance(axis, int) else 0), (spec, dim)
        for value in found.input:
            named = [d.dim_param for d in value.type.tensor_type.shape.dim]
            dynamic = [str(a).partition(" * ")[0] for a in TENSORS[value.name].axes]
            assert all(not name or axis in name for name, axis in zip(named, dynamic, strict=True))
