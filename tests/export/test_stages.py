import pytest
from support import SHAPE, make_model
from torch import nn
from transformers import BertConfig

from bskim_export.bundle.tensors import FIRST_STAGE_INPUTS, LATER_STAGE_INPUTS, LOGITS, READING_INPUTS, STAGE_OUTPUTS
from bskim_export.export.onnx_graph import sharing
from bskim_export.export.stages import FirstStage, LaterStage, ReadingStage, make_dense, make_stages, plan_cuts


@pytest.mark.parametrize("layers", [[], [0], [3], [0, 1, 2, 3], [1, 2]])
def test_cuts_put_every_layer_into_one_stage(layers):
    cuts = plan_cuts(4, layers)
    assert [i for c in cuts for i in c.layers] == [0, 1, 2, 3]
    assert [c.enters for c in cuts] == [True] + [False] * len(layers)
    assert [c.leaves for c in cuts] == [False] * len(layers) + [True]


@pytest.mark.parametrize(("predictor", "outputs"), [("diagonal", STAGE_OUTPUTS), ("question", STAGE_OUTPUTS[:2])])
def test_stages_give_a_diagonal_only_to_predictors_that_read_it(predictor, outputs):
    stages = make_stages(make_model(BertConfig(**SHAPE), (0, 2), predictor=predictor))
    assert [type(s) for s in stages] == [FirstStage, LaterStage, LaterStage]
    assert [s.outputs for s in stages] == [outputs, outputs, LOGITS]


def test_arguments_of_stages_are_the_tables_inputs_in_their_order():
    for stage, names in (
        (FirstStage, FIRST_STAGE_INPUTS),
        (ReadingStage, READING_INPUTS),
        (LaterStage, LATER_STAGE_INPUTS),
    ):
        assert tuple(stage.forward.__annotations__)[:-1] == names  # the last is the result


def test_every_parameter_of_the_model_is_in_some_stage_and_in_the_dense_model():
    model = make_model(BertConfig(**SHAPE), (1,))
    expected = {id(p) for p in model.backbone.parameters()}
    assert {id(p) for stage in make_stages(model) for p in stage.parameters()} == expected
    assert {id(p) for p in make_dense(model).parameters()} == expected


def test_modules_that_share_their_weights_in_other_ways_are_told_apart():
    one, other, third = (nn.Linear(2, 2) for _ in range(3))
    shared = nn.ModuleList([one, other, one])
    assert sharing(shared) == sharing(nn.ModuleList([other, third, other]))
    assert sharing(shared) != sharing(nn.ModuleList([one, other, third]))
    assert sharing(shared) != sharing(nn.ModuleList([one, one, other]))
