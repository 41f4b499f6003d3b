import contextlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bskim_export.checkpoint.files import read_object
from bskim_export.errors import CheckpointError

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 267826725\n"
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


def put(made, name: str):
    """Make place for a file that is looked for only if others are missing."""
    path = made.path / name
    if name.endswith(".bin") or ".bin." in name:
        (made.path / "model.safetensors").unlink()
    if name in ("vocab.txt", "spiece.model", "vocab.json", "merges.txt"):
        (made.path / "tokenizer.json").unlink()
    path.unlink(missing_ok=True)
    return path


@pytest.mark.parametrize(
    ("family", "name"),
    [
        *(("bert", name) for name in (*FILES, "pytorch_model.bin", "vocab.txt", "model.safetensors.index.json")),
        ("bert", "pytorch_model.bin.index.json"), ("bert", "adapter_config.json"),
        ("bert", "special_tokens_map.json"), ("albert", "spiece.model"), ("roberta", "vocab.json"),
        ("roberta", "merges.txt"),
    ],
)  # fmt: skip
def test_a_git_lfs_pointer_is_named_as_one(directory, family, name):
    made = directory(family)
    path = put(made, name)
    if family == "roberta":
        for other in ("vocab.json", "merges.txt"):
            (made.path / other).write_text("{}")
    if name == "special_tokens_map.json":
        made.change_json("tokenizer_config.json")
    path.write_text(POINTER)
    message = made.refusal()
    assert message.startswith(f"'{name}' is a Git LFS pointer, not the file itself. Run `git lfs pull`")
    assert "code" not in message


def fifo(path) -> None:
    os.mkfifo(path)


def folder(path) -> None:
    path.mkdir()


def device(path) -> None:
    path.symlink_to("/dev/zero")


def loop(path) -> None:
    path.symlink_to(path.name)


def nowhere(path) -> None:
    path.symlink_to("gone")


@pytest.mark.parametrize("name", [*FILES, "pytorch_model.bin", "vocab.txt"])
@pytest.mark.parametrize("make", [fifo, folder, device, loop, nowhere])
def test_what_is_no_file_is_refused_and_not_read(directory, name, make):
    made = directory()
    make(put(made, name))
    assert made.refusal().startswith(f"'{name}' ")


def test_deeply_nested_json_is_no_recursion_error(directory):
    for name in ("config.json", "tokenizer_config.json", "adapter_config.json", "model.safetensors.index.json"):
        made = directory()
        (made.path / name).write_text('{"a":' + "[" * 200_000)
        assert made.refusal().startswith(f"'{name}' cannot be read: it is not valid JSON (")
        (made.path / name).unlink()


@given(content=st.binary(max_size=40))
def test_any_bytes_are_an_object_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "x.json"
    path.write_bytes(content)
    with contextlib.suppress(CheckpointError):
        assert isinstance(read_object(path), dict)
