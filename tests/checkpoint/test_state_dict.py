import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from bskim_export.checkpoint.loading import load_checkpoint, save_checkpoint
from bskim_export.checkpoint.state_dict import encoder_weights, require_fit, used_weights, without_prefix
from bskim_export.errors import CheckpointError

ONE = torch.ones(1)
NAMES = ("bert.embeddings.w", "bert.encoder.layer.0.w", "qa_outputs.weight", "qa_outputs.bias")


def test_unused_parts_are_left_out_and_old_names_are_todays():
    state = dict.fromkeys(["bert.pooler.bias", "x.position_ids", "x.LayerNorm.beta", "x.LayerNorm.bias.y", "x"], ONE)
    assert list(used_weights(state)) == ["x.LayerNorm.bias", "x.LayerNorm.bias.y", "x"]


def test_an_encoder_that_was_saved_alone_gets_its_prefix():
    assert list(encoder_weights({"encoder.w": ONE}, "bert")) == ["bert.encoder.w"]
    whole = dict.fromkeys(["bert.encoder.w", "qa_outputs.weight", "cls.predictions.bias"], ONE)
    assert list(encoder_weights(whole, "bert")) == ["bert.encoder.w", "qa_outputs.weight"]


def test_some_of_many_faults_are_named_and_the_others_counted():
    expected = {f"bert.w{i}": ONE for i in range(5)}
    with pytest.raises(CheckpointError, match=r"bert\.w0, bert\.w1, bert\.w2 and 2 more\. Unknown: bert\.x\."):
        require_fit(expected, {"bert.x": ONE}, "model", "bert")
    require_fit(expected, expected | {"bert.skim_predictor.w": ONE}, "model", "bert")  # of a layer that is not used


@given(
    parts=st.lists(
        st.sampled_from(["module", "_orig_mod", "model", "net", "student", "_fsdp_wrapped_module"]), max_size=4
    ),
    other=st.sampled_from([None, "loss.weight", "classifier.bias"]),
)
def test_a_prefix_of_the_model_is_taken_off_whatever_it_is(parts, other):
    prefix = "".join(f"{part}." for part in parts)
    state = {prefix + name: ONE for name in NAMES} | ({other: ONE} if other else {})
    assert set(without_prefix(used_weights(state), "bert")) == {*NAMES, *([other] if other else [])}


@given(places=st.lists(st.integers(0, 3), min_size=1, max_size=3))
def test_wrappers_are_taken_out_wherever_a_module_was_wrapped(places):
    def wrap(name: str) -> str:
        parts = name.split(".")
        for place in places:
            parts.insert(min(place, len(parts) - 1), "_orig_mod")
        return ".".join(parts)

    assert list(used_weights({wrap(name): ONE for name in NAMES})) == list(NAMES)


def test_two_models_in_one_file_are_not_guessed_between():
    state = {f"{who}.{name}": ONE for who in ("student", "teacher") for name in NAMES}
    with pytest.raises(CheckpointError, match=r"several models, under the names student\., teacher\."):
        without_prefix(state, "bert")
    with pytest.raises(CheckpointError, match="Two weights of the checkpoint are called"):
        used_weights({"module.a": ONE, "a": ONE})


def test_a_prefix_hides_no_missing_head(directory):
    made = directory()
    made.store({f"model.{k}": v for k, v in made.weights().items() if "qa_outputs" not in k} | {"model.cls.bias": ONE})
    assert "has no question-answering head (qa_outputs); its head is: cls" in made.refusal()


def test_spare_heads_are_left_out_with_a_note(directory, logged):
    made = directory()
    plain = load_checkpoint(made.path).describe()
    made.store(made.weights() | {"has_answer.weight": torch.ones(2), "cls.predictions.bias": torch.ones(3)})
    assert load_checkpoint(made.path).describe() == plain
    assert any("left out: cls, has_answer" in line for line in logged)


@pytest.mark.parametrize("name", ["bert.encoder.layer.9.output.dense.weight", "qa_outputs.weight_scale"])
def test_weights_inside_the_model_are_never_spare(directory, name):
    made = directory()
    made.store(made.weights() | {name: ONE})
    assert f"Unknown: {name}" in made.refusal()


def test_an_adapter_that_was_not_merged_is_named(directory):
    made = directory()
    made.store(made.weights() | {"bert.encoder.layer.0.attention.self.query.lora_A.default.weight": ONE})
    assert "Merge it into its base: model.merge_and_unload()" in made.refusal()


NOT_NUMBERS = (
    torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool, torch.complex64, torch.float8_e4m3fn,
    torch.float8_e5m2,
)  # fmt: skip
WEIGHTS = (
    "qa_outputs.weight", "bert.embeddings.word_embeddings.weight", "bert.encoder.layer.1.output.LayerNorm.bias",
    "bert.encoder.layer.1.attention.self.skim_predictor.fc.weight",
    "bert.encoder.layer.1.attention.self.skim_predictor.bn1.running_var",
)  # fmt: skip


@pytest.mark.parametrize("dtype", NOT_NUMBERS, ids=str)
def test_weights_without_a_fraction_are_refused_by_name(directory, dtype):
    made = directory()
    for name in WEIGHTS:
        state = made.weights()
        made.store(state | {name: state[name].to(dtype)})
        message = made.refusal()
        assert f"'{name}' in 'model' holds {str(dtype).removeprefix('torch.')} numbers" in message
        assert "dequantize()" in message
        made.store(state)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_one_value_that_is_no_number_is_refused_by_name(directory, value):
    made = directory()
    for name in WEIGHTS:
        state = made.weights()
        spoiled = state[name].clone()
        spoiled.view(-1)[-1] = value
        made.store(state | {name: spoiled})
        assert f"'{name}' in 'model' has 1 of {spoiled.numel():,} values that are not numbers" in made.refusal()
        made.store(state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_weights_load(directory, dtype):
    made = directory()
    state = made.weights()
    made.store({k: v.to(dtype) for k, v in state.items()})
    loaded = load_checkpoint(made.path).model.backbone.qa_outputs.weight
    assert loaded.dtype == torch.float32
    assert torch.equal(loaded, state["qa_outputs.weight"].to(dtype).float())


def test_a_number_that_fp32_cannot_hold_is_refused(directory):
    made = directory()
    state = made.weights()
    made.store(state | {"qa_outputs.bias": torch.tensor([1e300, 0.0], dtype=torch.float64)})
    assert "'qa_outputs.bias' in 'model' has 1 of 2 values" in made.refusal()


def test_weights_that_are_too_large_to_compute_with_are_refused(directory):
    made = directory()
    state = made.weights()
    made.store(state | {"bert.encoder.layer.1.output.dense.weight": torch.full((32, 64), 3e38)})
    assert "gives logits that are not numbers" in made.refusal()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda v: v.to_sparse(), "is no plain tensor"),
        (lambda v: torch.quantize_per_tensor(v, 0.1, 0, torch.qint8), "holds qint8 numbers"),
        (lambda v: v.to("meta"), "has no numbers (device meta)"),
        (lambda v: torch.zeros(1).expand(v.shape), "is an expanded view"),
        (lambda v: "text", "is not a tensor"),
        (lambda v: None, "is not a tensor"),
        (lambda v: [1.0], "is not a tensor"),
    ],
)
def test_a_file_with_other_things_than_plain_tensors_is_refused(directory, tmp_path, spoil, message):
    made = directory()
    checkpoint = load_checkpoint(made.path)
    save_checkpoint(checkpoint.model, tmp_path / "model.pt", checkpoint.tokenizer)
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    content["state_dict"]["qa_outputs.weight"] = spoil(content["state_dict"]["qa_outputs.weight"])
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(tmp_path / "model.pt")
    assert "'qa_outputs.weight'" in str(caught.value)
    assert message in str(caught.value)


def test_a_config_that_its_weights_do_not_fit_takes_no_memory(directory):
    """A config of 64 GiB beside weights of 4 MB: the names and shapes are compared before anything is allocated."""
    made = directory()
    made.change_json("config.json", hidden_size=65536, num_attention_heads=4, intermediate_size=2**18)
    assert "do not fit its config.json: bert.embeddings" in made.refusal()


def test_layers_whose_weights_are_one_and_the_same_bytes_are_refused(directory):
    """A file of 4 MB that would become a model of gigabytes."""
    made = directory("bert", ())
    state = made.weights()
    names = [k for k in state if k.startswith("bert.encoder.layer.0.")]
    wide = {k: torch.zeros(64, 64) if state[k].dim() == 2 else torch.zeros(64) for k in state}
    storage = torch.zeros(64 * 64)
    many = {
        k.replace("layer.0.", f"layer.{i}."): storage[: wide[k].numel()].view(wide[k].shape)
        for i in range(400) for k in names
    }  # fmt: skip
    head = {"qa_outputs.weight": torch.zeros(2, 64), "qa_outputs.bias": torch.zeros(2)}
    tables = {"word_embeddings": 16, "position_embeddings": 64, "token_type_embeddings": 2}
    parts = {f"bert.embeddings.{t}.weight": torch.zeros(rows, 64) for t, rows in tables.items()}
    norm = {f"bert.embeddings.LayerNorm.{p}": torch.zeros(64) for p in ("weight", "bias")}
    made.change_json(
        "config.json", hidden_size=64, intermediate_size=64, num_hidden_layers=400, vocab_size=16,
        max_position_embeddings=64,
    )  # fmt: skip
    (made.path / "model.safetensors").unlink()
    torch.save(many | head | parts | norm, made.path / "pytorch_model.bin")
    assert "are copies of a few numbers" in made.refusal()


def test_a_file_of_weights_alone_needs_its_directory(tmp_path):
    save_file({"a": ONE}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="holds weights only"):
        load_checkpoint(tmp_path / "x.safetensors")
