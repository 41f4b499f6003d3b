import io
import json
import pickle
import struct
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from bskim_export.checkpoint.weights import read_weights, torch_load
from bskim_export.errors import CheckpointError

ONE = torch.ones(1)
WHOLE = {"bert.a": ONE, "bert.b": ONE * 2, "qa_outputs.weight": ONE * 3}


def write_shards(folder, suffix: str, names: dict) -> None:
    stem = "model" if suffix == ".safetensors" else "pytorch_model"
    index = f"{stem}{suffix}.index.json" if suffix == ".bin" else f"{stem}.safetensors.index.json"
    (folder / index).write_text(json.dumps({"metadata": {}, "weight_map": names}))


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_weights_in_several_files_are_put_together(tmp_path, suffix):
    save = torch.save if suffix == ".bin" else save_file
    save({"a": ONE}, tmp_path / f"1{suffix}")
    save({"b": ONE, "c": ONE * 2}, tmp_path / f"2{suffix}")
    write_shards(tmp_path, suffix, {"a": f"1{suffix}", "b": f"2{suffix}", "c": f"2{suffix}"})
    assert {name: float(value) for name, value in read_weights(tmp_path).items()} == {"a": 1, "b": 1, "c": 2}


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
@pytest.mark.parametrize(
    "name", ["../outside{}", "{}/outside{}", "/etc/passwd", ".", "..", "sub/x{}", "a\0b{}", "", "x.pkl"]
)
def test_an_index_names_files_of_its_kind_in_its_own_folder(tmp_path, suffix, name):
    folder = tmp_path / "model"
    folder.mkdir()
    (torch.save if suffix == ".bin" else save_file)({"a": ONE}, tmp_path / f"outside{suffix}")
    named = name.format(*([str(tmp_path), suffix] if name.count("{}") == 2 else [suffix]))
    write_shards(folder, suffix, {"a": named})
    with pytest.raises(CheckpointError, match="files in the same folder; nothing else is read"):
        read_weights(folder)


@pytest.mark.parametrize("weight_map", [None, [], {}, {"a": 5}, {"a": ["x"]}, {"a": None}])
def test_an_index_without_names_is_refused(tmp_path, weight_map):
    write_shards(tmp_path, ".safetensors", weight_map)
    with pytest.raises(CheckpointError, match=r"model\.safetensors\.index\.json"):
        read_weights(tmp_path)


def test_safetensors_come_before_a_bin_file(tmp_path):
    save_file({"a": ONE}, tmp_path / "model.safetensors")
    (tmp_path / "pytorch_model.bin").write_bytes(b"not read")
    assert list(read_weights(tmp_path)) == ["a"]


@pytest.mark.parametrize("name", ["tf_model.h5", "flax_model.msgpack", "model.gguf"])
def test_weights_of_another_framework_are_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(CheckpointError, match=f"Its {name} holds another framework's weights"):
        read_weights(tmp_path)


@pytest.mark.parametrize("content", [[ONE], {"a": ONE, "step": 7}, {}, {1: ONE}, {"state_dict": {"a": "x"}}, "text"])
def test_a_bin_file_holds_tensors_by_name(tmp_path, content):
    torch.save(content, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="not a state dict of tensors"):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {
            "epoch": 3,
            "model_state_dict": s,
            "optimizer_state_dict": {"state": {}, "param_groups": [{"lr": 1}]},
        },
        lambda s: {"state_dict": s, "hyper_parameters": {"lr": 0.1}},
        lambda s: {"model": s, "step": 7},
        lambda s: {"state_dict": {"model": s}},
    ],
)
def test_what_a_training_loop_saves_around_the_weights_is_taken_off(tmp_path, wrap):
    torch.save(wrap(WHOLE), tmp_path / "pytorch_model.bin")
    assert read_weights(tmp_path) == WHOLE


def test_two_models_in_one_file_are_not_guessed_between(tmp_path):
    torch.save({"model": WHOLE, "state_dict": WHOLE}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"holds several models \(state_dict, model\)"):
        read_weights(tmp_path)


@pytest.mark.parametrize("old_format", [True, False])
def test_files_of_every_version_of_pytorch_are_read(tmp_path, old_format):
    path = tmp_path / "x.bin"
    torch.save(WHOLE, path, _use_new_zipfile_serialization=not old_format)
    assert torch_load(path) == WHOLE


def deflated() -> bytes:
    """A file of torch.save's that was packed again: zeros take no room."""
    plain = io.BytesIO()
    torch.save({"a": torch.zeros(1_000_000)}, plain)
    packed = io.BytesIO()
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for info in source.infolist():
            target.writestr(info.filename, source.read(info.filename))
    return packed.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (deflated(), "which torch.save never writes"),
        (pickle.dumps({"a": 1}), "torch.save did not write it"),
        (b"\x80\x02" + b"(" * 100_000 + b"l" * 100_000 + b".", "torch.save did not write it"),
        (b"hello", "torch.save did not write it"),
        (b"", "torch.save did not write it"),
        (b"PK\x03\x04 no archive", "cannot be read as a PyTorch file"),
    ],
)
def test_what_torch_does_not_write_is_not_unpacked(tmp_path, content, message):
    path = tmp_path / "x.bin"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        torch_load(path)


def header(length: int, text: bytes) -> bytes:
    return struct.pack("<Q", length) + text


@pytest.mark.parametrize(
    "content",
    [
        b"", b"1234567", header(2**63, b"{}"), header(100_000, b"[" * 100_000), header(8, b"\xff" * 8),
        header(2, b"{}") + b"more",
        header(74, b'{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4]}}   '),
        header(62, b'{"a":{"dtype":"F7","shape":[1],"data_offsets":[0,4]}}         ') + b"0000",
        header(62, b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}        '),
    ],
)  # fmt: skip
def test_damaged_safetensors_are_refused(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors' cannot be read: .*Download or save it again"):
        read_weights(tmp_path)
