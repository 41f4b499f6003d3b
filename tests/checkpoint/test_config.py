import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoConfig, BertConfig, RobertaConfig

from bskim_export.checkpoint.config import read_config
from bskim_export.checkpoint.loading import load_checkpoint
from bskim_export.errors import CheckpointError

PLAIN = json.loads(
    BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4).to_json_string(use_diff=False)
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("kind", ["bert", "albert", "distilbert", "electra", "roberta"])
def test_a_config_is_read_as_transformers_reads_it(kind):
    values = json.loads(AutoConfig.for_model(kind).to_json_string(use_diff=False))
    ours = read_config(values, "config.json").to_dict()
    theirs = AutoConfig.for_model(kind).to_dict()
    assert {k: v for k, v in ours.items() if k != "transformers_version"} == {
        k: v for k, v in theirs.items() if k != "transformers_version"
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"is_decoder": True}, "has is_decoder: the model reads from left to right"),
        ({"add_cross_attention": True}, "has add_cross_attention"),
        ({"is_encoder_decoder": True}, "has is_encoder_decoder"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type 'relative_key'"),
        ({"position_embedding_type": "relative_key_query"}, "Use a model with absolute positions"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "bitsandbytes): the weights are quantised"),
        ({"quantization_config": 5}, "of an unknown method"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers must be a whole number from 1 to 1,000, got 1000000000"),
        ({"vocab_size": 10**400}, "got a number of more than 30 digits"),
        ({"hidden_size": 2.5}, "hidden_size must be a whole number"),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps must be a number above 0"),
        ({"hidden_dropout_prob": 7}, "hidden_dropout_prob must be a number from 0 to 1"),
        ({"hidden_act": "evil"}, "hidden_act must be the name of an activation"),
        ({"augment_layers": 5}, "augment_layers must be a list of layers"),
        ({"pruned_heads": {"0": "ab"}}, "pruned_heads must be an object"),
    ],
)  # fmt: skip
def test_what_cannot_be_loaded_is_named_at_once(directory, change, message):
    made = directory()
    (made.path / "model.safetensors").write_bytes(b"is not even looked at")
    made.change_json("config.json", **change)
    assert message in made.refusal()


def test_sizes_that_do_not_go_together_are_named(directory):
    made = directory()
    made.change_json("config.json", num_attention_heads=5)
    assert "describes no model" in made.refusal()


@given(
    name=st.sampled_from(sorted({*PLAIN, "augment_layers", "pruned_heads", "auto_map", "type_vocab_size"})), value=JSON
)
def test_any_value_of_any_field_gives_a_config_or_a_checkpoint_error(name, value):
    with contextlib.suppress(CheckpointError):
        read_config(PLAIN | {name: value}, "config.json")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_attn_implementation", "flash_attention_2"), ("attn_implementation", "evil/kernel"), ("dtype", "float16"),
        ("torch_dtype", "int8"), ("return_dict", False), ("output_attentions", True), ("torchscript", True),
        ("chunk_size_feed_forward", 7), ("use_cache", True), ("name_or_path", "/etc/passwd"), ("num_labels", 5),
    ],
)  # fmt: skip
def test_how_transformers_loads_and_calls_a_model_is_not_for_a_file_to_say(directory, name, value):
    made = directory()
    before = load_checkpoint(made.path)
    made.change_json("config.json", **{name: value})
    after = load_checkpoint(made.path)
    assert after.describe() == before.describe()
    assert after.model.config.to_dict() == before.model.config.to_dict()


@pytest.mark.parametrize("family", ["bert", "roberta"])
@pytest.mark.parametrize("value", [None, -1, True, "x"])
def test_a_missing_padding_token_is_the_tokenizers(directory, family, value):
    made = directory(family)
    expected = load_checkpoint(made.path).describe()
    made.change_json("config.json", pad_token_id=value)
    described = load_checkpoint(made.path).describe()
    assert described == expected
    assert described.pad_token_id == (RobertaConfig if family == "roberta" else BertConfig)().pad_token_id


def test_a_padding_token_beyond_the_embeddings_is_refused(directory):
    made = directory()
    made.change_json("config.json", pad_token_id=40_000)
    assert "pad_token_id is 40000, but" in made.refusal()


def test_without_any_padding_token_the_cure_is_named(directory):
    made = directory("roberta")
    text = (made.path / "tokenizer.json").read_text(encoding="utf-8").replace("<pad>", "<nothing>")
    (made.path / "tokenizer.json").write_text(text, encoding="utf-8")
    made.change_json("config.json", pad_token_id=None)
    assert "Set it in config.json" in made.refusal()
