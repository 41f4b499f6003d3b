import pytest
import torch
from support import FAMILIES, SHAPE, make_model
from torch.utils.flop_counter import FlopCounterMode
from transformers import AlbertConfig, BertConfig

from bskim_export.checkpoint.loading import Checkpoint
from bskim_export.errors import CheckpointError
from bskim_export.evaluate.macs import dense_macs
from bskim_export.model.families import find_family
from bskim_export.model.families.base import LayerShape
from bskim_export.model.predictors.diagonal import DiagonalPredictor
from bskim_export.model.qa import BlockSkimForQuestionAnswering


def passes(model) -> list[int]:
    """The layers that Hugging Face's own forward goes through, in order."""
    seen, distinct = [], {id(layer): layer for layer in model.family.layers(model.backbone)}
    hooks = [layer.register_forward_hook(lambda own, *_: seen.append(id(own))) for layer in distinct.values()]
    model.backbone(torch.ones(1, 32, dtype=torch.long))
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_are_those_that_hugging_face_runs_in_its_order(family, tiny):
    model = tiny(family).model
    assert passes(model) == [id(layer) for layer in model.family.layers(model.backbone)]


@pytest.mark.parametrize(("layers", "groups"), [(5, 2), (12, 5), (18, 14)])  # 18 / 14 is where rounding matters
def test_alberts_layers_take_turns_through_its_groups_as_in_hugging_face(layers, groups):
    shape = SHAPE | {"num_hidden_layers": layers, "num_hidden_groups": groups, "vocab_size": 9, "embedding_size": 8}
    model = BlockSkimForQuestionAnswering(AlbertConfig(**shape)).eval()
    assert passes(model) == [id(layer) for layer in model.family.layers(model.backbone)]
    assert len(set(passes(model))) == groups


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_training_drops_out_what_hugging_face_drops_out(family):
    kind, extra = FAMILIES[family]
    model = make_model(kind(**SHAPE, **extra), (0, 1, 2))  # layers with a map compute attention as Hugging Face does
    model.set_dropout(0.3)
    ids = torch.randint(4, 2000, (2, 96))
    undisturbed = model(ids)
    model.train()
    torch.manual_seed(1)
    theirs = model.backbone(ids)
    torch.manual_seed(1)
    ours = model(ids)
    torch.testing.assert_close(ours.start_logits, theirs.start_logits)
    torch.testing.assert_close(ours.end_logits, theirs.end_logits)
    assert not torch.allclose(undisturbed.start_logits, ours.start_logits)


def test_groups_of_several_layers_are_refused():
    with pytest.raises(CheckpointError, match="inner_group_num 2 are not supported, only with 1"):
        find_family(AlbertConfig(inner_group_num=2))


def test_bert_large_is_described_and_counted(wordpiece):
    config = BertConfig(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096)
    config.augment_layers = list(range(24))
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():  # shapes only
        large = BlockSkimForQuestionAnswering(config).eval()
        large.backbone(torch.ones(1, 512, dtype=torch.long))
    model = Checkpoint(large, wordpiece, "bert-large").describe()
    assert (model.num_layers, model.hidden_size, model.intermediate_size) == (24, 1024, 4096)
    assert (model.num_heads, model.head_size, model.max_seq_len) == (16, 64, 512)
    assert 2 * dense_macs(model, 512) == counter.get_total_flops()
    assert model.predictor_macs == DiagonalPredictor(LayerShape(16, 64, 1024)).macs
