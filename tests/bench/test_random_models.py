import pytest
import torch
from support import SHAPE

from bskim_export.bench import random_models
from bskim_export.bench.random_models import SHAPES, Shape, make_random_checkpoint, spread_layers
from bskim_export.errors import InputError


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(random_models.SHAPES, "tiny", Shape("bert", SHAPE))


def test_a_random_model_is_the_same_every_time(wordpiece):
    one, other = (make_random_checkpoint("tiny", wordpiece, 2) for _ in range(2))
    assert one.source == "random-tiny"
    assert one.model.skim.layers == (0, 2)
    for name, value in one.model.state_dict().items():
        assert torch.equal(value, other.model.state_dict()[name])


def test_it_has_a_predictor_at_every_layer_unless_told_otherwise(wordpiece):
    assert make_random_checkpoint("tiny", wordpiece).model.skim.layers == (0, 1, 2)


def test_a_tokenizer_that_knows_more_words_widens_the_embeddings(wordpiece, monkeypatch):
    monkeypatch.setitem(random_models.SHAPES, "few words", Shape("bert", {**SHAPE, "vocab_size": 100}))
    assert make_random_checkpoint("few words", wordpiece).model.config.vocab_size == 30522


@pytest.mark.parametrize(("count", "layers"), [(1, [11]), (4, [2, 5, 8, 11]), (None, list(range(12)))])
def test_predictors_end_equal_shares_of_the_layers(count, layers):
    assert spread_layers(12, count) == layers


def test_what_there_is_not_is_refused(wordpiece):
    with pytest.raises(InputError, match=f"no shape 'huge'. Choose one of: {', '.join(SHAPES)}"):
        make_random_checkpoint("huge", wordpiece)
    with pytest.raises(InputError, match="has 3 layers; 4 of them cannot have a predictor"):
        make_random_checkpoint("tiny", wordpiece, 4)
