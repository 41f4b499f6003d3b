import dataclasses
import json

import pytest

from bskim_export.bundle.manifest import (
    MANIFEST,
    RECOPY,
    Graph,
    Manifest,
    Model,
    Stage,
    hash_file,
    read_manifest,
    verify_files,
    write_manifest,
)
from bskim_export.errors import BundleError

AGAIN = "Export the model again with this version of bskim-export."


@pytest.fixture
def manifest():
    first = Graph("onnx/stage_00.onnx", ["input_ids", "mask"], ["context", "residual", "diagonal"])
    skim = Graph("onnx/skim_00.onnx", ["diagonal"], ["keep_probability"])
    last = Graph("onnx/stage_01.onnx", ["last_context", "last_residual"], ["start_logits", "end_logits"])
    return Manifest(
        model=Model("roberta", "some/model", 2, 32, 64, 4, 8, 16, 1, 32, 384, 1, None, 1234, 2, 1),
        dense=Graph("onnx/dense.onnx", ["input_ids"], ["start_logits", "end_logits"]),
        stages=[Stage(first, [0], 0, skim), Stage(last, [1])],
        thresholds={"0": 0.25},
        precision="fp32",
        files={},
        versions={"torch": "2.11"},
    )


@pytest.fixture
def edit(manifest, tmp_path):
    """Return a function that changes the manifest's JSON in a bundle, whose folder it returns."""
    write_manifest(tmp_path, manifest)

    def change(how):
        path = tmp_path / MANIFEST
        raw = json.loads(path.read_text(encoding="utf-8"))
        how(raw)
        path.write_text(json.dumps(raw), encoding="utf-8")
        return tmp_path

    return change


def test_manifest_survives_a_round_trip(manifest, tmp_path):
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest
    assert read_manifest(str(tmp_path)) == manifest


def test_skim_layers_are_those_of_stages_with_a_predictor(manifest):
    assert manifest.skim_layers == [0]


def test_a_whole_number_is_read_as_a_float_where_one_belongs(edit):
    threshold = read_manifest(edit(lambda raw: raw["thresholds"].update({"0": 1}))).thresholds["0"]
    assert threshold == 1.0
    assert isinstance(threshold, float)


def test_fields_with_defaults_may_be_missing(edit):
    def strip(raw):
        del raw["model"]["position_offset"], raw["stages"][1]["skim"]

    manifest = read_manifest(edit(strip))
    assert manifest.model.position_offset == 0
    assert manifest.stages[1].skim is None


def test_unknown_fields_are_ignored(edit, manifest):
    assert read_manifest(edit(lambda raw: raw.update(added_later={"x": 1}))) == manifest


@pytest.mark.parametrize("name", ["empty", "absent"])
def test_a_folder_without_manifest_is_not_a_bundle(tmp_path, name):
    (tmp_path / "empty").mkdir()
    folder = tmp_path / name
    with pytest.raises(BundleError, match="is not a bundle") as caught:
        read_manifest(folder)
    assert f"Create one with: bskim-export MODEL --out {folder}" in str(caught.value)


@pytest.mark.parametrize("content", [b'{"format_version": 1,', b"", b"\xff\xfe\xff"])
def test_bad_json_is_refused(tmp_path, content):
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(BundleError, match="is not valid JSON") as caught:
        read_manifest(tmp_path)
    assert AGAIN in str(caught.value)
    assert str(tmp_path / MANIFEST) in str(caught.value)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_format_version_is_refused_before_the_fields_are_read(tmp_path, version):
    (tmp_path / MANIFEST).write_text(json.dumps({"format_version": version}))
    with pytest.raises(BundleError, match=f"has format version {version}; this release reads 1") as caught:
        read_manifest(tmp_path)
    assert AGAIN in str(caught.value)


@pytest.mark.parametrize("content", ["[]", "3", '"bundle"', "null"])
def test_json_that_is_no_object_has_no_format_version(tmp_path, content):
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(BundleError, match="has format version None"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("remove", "where"),
    [
        (lambda raw: raw.pop("stages"), "manifest.json: missing stages."),
        (lambda raw: [raw.pop("files"), raw.pop("dense")], "manifest.json: missing dense, files."),
        (lambda raw: raw["model"].pop("hidden_size"), "manifest.json: model: missing hidden_size."),
        (lambda raw: raw["stages"][1]["graph"].pop("file"), "manifest.json: stages[1]: graph: missing file."),
        (lambda raw: raw["stages"][0]["skim"].pop("inputs"), "manifest.json: stages[0]: skim: missing inputs."),
    ],
)
def test_missing_fields_are_named(edit, remove, where):
    with pytest.raises(BundleError) as caught:
        read_manifest(edit(remove))
    assert str(caught.value).endswith(f"{where} {AGAIN}")


@pytest.mark.parametrize(
    ("spoil", "where"),
    [
        (lambda raw: raw.update(precision=16), "precision: expected str, found 16."),
        (lambda raw: raw["model"].update(num_layers="12"), "model: num_layers: expected int, found '12'."),
        (lambda raw: raw["model"].update(num_layers=12.0), "model: num_layers: expected int, found 12.0."),
        (lambda raw: raw["model"].update(num_layers=True), "model: num_layers: expected int, found True."),
        (lambda raw: raw["model"].update(cls_token_id="x"), "model: cls_token_id: expected int, found 'x'."),
        (lambda raw: raw.update(model=[]), "model: expected an object, found list."),
        (lambda raw: raw.update(stages={}), "stages: expected list, found {}."),
        (lambda raw: raw.update(files=[]), "files: expected dict, found []."),
        (lambda raw: raw["files"].update({"a.onnx": 7}), "files.a.onnx: expected str, found 7."),
        (lambda raw: raw["thresholds"].update({"0": "half"}), "thresholds.0: expected float, found 'half'."),
        (lambda raw: raw["thresholds"].update({"0": True}), "thresholds.0: expected float, found True."),
        (lambda raw: raw["stages"].append(None), "stages[2]: expected an object, found NoneType."),
        (lambda raw: raw["stages"][1]["layers"].append("2"), "stages[1]: layers[1]: expected int, found '2'."),
        (lambda raw: raw["stages"][0].update(skim="x"), "stages[0]: skim: expected an object, found str."),
    ],
)
def test_wrong_types_are_named(edit, spoil, where):
    with pytest.raises(BundleError) as caught:
        read_manifest(edit(spoil))
    assert str(caught.value).endswith(f"manifest.json: {where} {AGAIN}")


@pytest.fixture
def listed(manifest, tmp_path):
    """Return a bundle with two files, and its manifest, which lists them."""
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "weights.bin").write_bytes(bytes(range(256)))
    (tmp_path / "tokenizer.json").write_text("{}")
    names = ("onnx/weights.bin", "tokenizer.json")
    manifest = dataclasses.replace(manifest, files={name: hash_file(tmp_path / name) for name in names})
    write_manifest(tmp_path, manifest)
    return tmp_path, manifest


def test_hash_is_sha256(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert hash_file(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_intact_files_pass_and_unlisted_ones_do_not_matter(listed):
    folder, manifest = listed
    (folder / "notes.txt").write_text("mine")
    verify_files(folder, manifest)


def test_a_missing_file_is_named(listed):
    folder, manifest = listed
    (folder / "onnx" / "weights.bin").unlink()
    with pytest.raises(BundleError, match=r"is incomplete: 'onnx/weights\.bin' is missing") as caught:
        verify_files(folder, manifest)
    assert RECOPY in str(caught.value)


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:7] + b"\x00" + b[8:], lambda b: b""])
def test_a_damaged_file_is_named(listed, damage):
    folder, manifest = listed
    path = folder / "onnx" / "weights.bin"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BundleError, match="is damaged: its SHA-256 differs") as caught:
        verify_files(folder, manifest)
    assert str(path) in str(caught.value)
    assert RECOPY in str(caught.value)
