"""The types of manifest.json: read back as written, or refused by name."""

import dataclasses
import json

import pytest
from bundle_parts import AGAIN, small_manifest

from bskim_export.bundle.manifest import FORMAT_VERSION, RunDefaults
from bskim_export.bundle.manifest_file import decode, encode, require_seal
from bskim_export.errors import BundleError

WHERE = "bundle/manifest.json"


def changed(how) -> bytes:
    """Return the bytes of a manifest whose JSON was changed."""
    raw = json.loads(encode(small_manifest()))
    how(raw)
    return json.dumps(raw).encode()


def test_a_manifest_survives_a_round_trip():
    manifest = small_manifest()
    content = encode(manifest)
    assert decode(content, WHERE) == manifest
    require_seal(content, WHERE)


def test_thresholds_have_the_numbers_of_layers_as_keys():
    manifest = decode(encode(small_manifest()), WHERE)
    assert manifest.thresholds == {0: 0.25}
    assert json.loads(encode(manifest))["thresholds"] == {"0": 0.25}


def test_skim_layers_are_those_of_stages_with_a_predictor():
    assert small_manifest().skim_layers == [0]


def test_all_graphs_are_listed_once_in_the_order_in_which_they_run():
    manifest = small_manifest()
    files = ["onnx/stage_00.onnx", "onnx/skim_00.onnx", "onnx/stage_01.onnx", "onnx/dense.onnx"]
    assert [graph.file for graph in manifest.graphs] == files
    alone = dataclasses.replace(manifest, stages=[manifest.stages[1]], dense=manifest.stages[1].graph)
    assert [graph.file for graph in alone.graphs] == ["onnx/stage_01.onnx"]


def test_a_whole_number_is_read_as_a_float_where_one_belongs():
    threshold = decode(changed(lambda raw: raw["thresholds"].update({"0": 1})), WHERE).thresholds[0]
    assert threshold == 1.0
    assert isinstance(threshold, float)


def test_fields_with_defaults_may_be_missing_and_unknown_ones_are_left_out():
    def strip(raw):
        del raw["model"]["position_offset"], raw["stages"][1]["skim"]
        raw["added_later"] = {"x": 1}

    manifest = decode(changed(strip), WHERE)
    assert manifest.model.position_offset == 0
    assert manifest.stages[1].skim is None


def test_short_windows_share_half_of_their_positions_at_most():
    assert RunDefaults.of_length(512).doc_stride == 128
    assert RunDefaults.of_length(64).doc_stride == 32


@pytest.mark.parametrize(
    "content",
    [
        b'{"format_version": 2,',
        b"",
        b"\xff\xfe\xff",
        b"[" * 200_000,
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1' + b"0" * 5000 + b"}",
        b'{"a": 1, "a": 2}',
    ],
)
def test_bad_json_is_refused(content):
    with pytest.raises(BundleError, match=r"'bundle/manifest\.json' is not valid JSON") as caught:
        decode(content, WHERE)
    assert AGAIN in str(caught.value)


@pytest.mark.parametrize("version", [0, 1, 3, "2", None, True, 2.0])
def test_another_format_version_is_refused_before_the_fields_are_read(version):
    with pytest.raises(BundleError, match=f"this release reads {FORMAT_VERSION}") as caught:
        decode(json.dumps({"format_version": version}).encode(), WHERE)
    assert AGAIN in str(caught.value)


@pytest.mark.parametrize("content", [b"[]", b"3", b'"bundle"', b"null"])
def test_json_that_is_no_object_has_no_format_version(content):
    with pytest.raises(BundleError, match="format_version is missing"):
        decode(content, WHERE)


@pytest.mark.parametrize(
    ("remove", "where"),
    [
        (lambda raw: raw.pop("stages"), "missing stages."),
        (lambda raw: [raw.pop("files"), raw.pop("dense")], "missing dense, files."),
        (lambda raw: raw.pop("defaults"), "missing defaults."),
        (lambda raw: raw["model"].pop("hidden_size"), "model: missing hidden_size."),
        (lambda raw: raw["stages"][1]["graph"].pop("file"), "stages[1]: graph: missing file."),
        (lambda raw: raw["stages"][0]["skim"].pop("inputs"), "stages[0]: skim: missing inputs."),
        (lambda raw: raw["dense"]["inputs"][0].pop("axes"), "dense: inputs[0]: missing axes."),
    ],
)
def test_missing_fields_are_named(remove, where):
    with pytest.raises(BundleError) as caught:
        decode(changed(remove), WHERE)
    assert str(caught.value) == f"{WHERE}: {where} {AGAIN}"


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
        (lambda raw: raw["thresholds"].update({"0": 10**400}), "thresholds.0: expected float, found a number that is "
         "too large."),
        (lambda raw: raw["thresholds"].update({"00": 0.5}), "thresholds: '00' is not the number of a layer."),
        (lambda raw: raw["thresholds"].update({"\uff11": 0.5}), "thresholds: '\uff11' is not the number of a layer."),
        (lambda raw: raw["stages"].append(None), "stages[2]: expected an object, found NoneType."),
        (lambda raw: raw["stages"][1]["layers"].append("2"), "stages[1]: layers[1]: expected int, found '2'."),
        (lambda raw: raw["stages"][0].update(skim="x"), "stages[0]: skim: expected an object, found str."),
        (lambda raw: raw["dense"]["inputs"][0]["axes"].append(True), "dense: inputs[0]: axes[2]: expected int, found "
         "True."),
    ],
)  # fmt: skip
def test_wrong_types_are_named(spoil, where):
    with pytest.raises(BundleError) as caught:
        decode(changed(spoil), WHERE)
    assert str(caught.value) == f"{WHERE}: {where} {AGAIN}"


def test_the_seal_covers_all_but_the_thresholds():
    require_seal(changed(lambda raw: raw["thresholds"].update({"0": 0.75})), WHERE)
    for spoil in (
        lambda raw: raw["model"].update(pad_token_id=3),
        lambda raw: raw["defaults"].update(max_answer_len=29),
        lambda raw: raw["versions"].update(torch="3"),
        lambda raw: raw.pop("seal"),
        lambda raw: raw.update(seal=3),
    ):
        with pytest.raises(BundleError, match="was changed after export: its seal does not fit"):
            require_seal(changed(spoil), WHERE)
