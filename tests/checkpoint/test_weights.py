import json

import pytest
import torch
from safetensors.torch import save_file

from bskim_export.checkpoint.weights import encoder_weights, read_weights, require_fit, used_weights
from bskim_export.errors import CheckpointError

ONE = torch.ones(1)


def test_weights_in_several_files_are_put_together(tmp_path):
    save_file({"a": ONE}, tmp_path / "1.safetensors")
    save_file({"b": ONE, "c": ONE * 2}, tmp_path / "2.safetensors")
    index = {"weight_map": {"a": "1.safetensors", "b": "2.safetensors", "c": "2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert {name: float(value) for name, value in read_weights(tmp_path).items()} == {"a": 1, "b": 1, "c": 2}


def test_safetensors_come_before_a_bin_file(tmp_path):
    save_file({"a": ONE}, tmp_path / "model.safetensors")
    (tmp_path / "pytorch_model.bin").write_bytes(b"not read")
    assert list(read_weights(tmp_path)) == ["a"]


@pytest.mark.parametrize("content", [[ONE], {"a": ONE, "step": 7}])
def test_a_bin_file_holds_tensors_by_name(tmp_path, content):
    torch.save(content, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="not a state dict of tensors"):
        read_weights(tmp_path)


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
