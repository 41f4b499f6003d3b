"""Files that are not as export wrote them are found and named."""

import os

import pytest
from bundle_parts import FILES, write_small_bundle

from bskim_export import Bundle
from bskim_export.bundle.integrity import RECOPY, hash_file, read_small
from bskim_export.errors import BundleError


def test_hash_is_sha256(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert hash_file(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_intact_files_pass_and_unlisted_ones_do_not_matter(tmp_path):
    written = write_small_bundle(tmp_path / "b")
    (tmp_path / "b" / "notes.txt").write_text("mine")
    assert Bundle.open(tmp_path / "b").manifest == written.manifest


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(name, tmp_path):
    write_small_bundle(tmp_path / "b")
    (tmp_path / "b" / name).unlink()
    with pytest.raises(BundleError, match=rf"is incomplete: '{name}' is missing") as caught:
        Bundle.open(tmp_path / "b")
    assert RECOPY in str(caught.value)
    Bundle.open(tmp_path / "b", verify=False)


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:7] + b"\x00" + b[8:], lambda b: b""])
def test_a_damaged_file_is_named(damage, tmp_path):
    write_small_bundle(tmp_path / "b")
    path = tmp_path / "b" / "onnx" / "weights.bin"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BundleError, match="is damaged: its SHA-256 differs") as caught:
        Bundle.open(tmp_path / "b")
    assert str(path) in str(caught.value)
    assert RECOPY in str(caught.value)


@pytest.mark.parametrize("name", ["tokenizer.json", "manifest.json", "onnx/dense.onnx"])
@pytest.mark.parametrize("kind", ["pipe", "device", "directory"])
def test_only_regular_files_are_read(kind, name, tmp_path):
    write_small_bundle(tmp_path / "b")
    path = tmp_path / "b" / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(BundleError, match="is not a regular file"):
        Bundle.open(tmp_path / "b")


def test_a_small_file_that_is_large_is_not_read(tmp_path):
    with open(tmp_path / "x", "wb") as stream:
        stream.truncate(10**9)
    with pytest.raises(BundleError, match="is larger than 1 MB, which none is"):
        read_small(tmp_path / "x", 10**6)
