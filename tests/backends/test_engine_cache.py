import hashlib
import json
from dataclasses import replace

import pytest

from bskim_export.backends.engine_cache import EngineKey, find_engine, keep_engine, user_cache

KEY = EngineKey("a" * 64, "b" * 64, "tensorrt-rtx 1.7.1", "8.9", "fp16", {"batch_size": (1, 8), "length": (192, 384)})


def test_what_was_kept_is_found_again(tmp_path):
    digest = keep_engine(tmp_path / "tensorrt-rtx", "stage_00", KEY, b"engine")
    assert digest == hashlib.sha256(b"engine").hexdigest()
    assert find_engine(tmp_path / "tensorrt-rtx", "stage_00", KEY) == (b"engine", "")
    assert find_engine(tmp_path / "tensorrt-rtx", "stage_01", KEY) == (None, "it was not built yet")


def test_the_listed_hash_decides_over_the_label(tmp_path):
    digest = keep_engine(tmp_path, "stage_00", KEY, b"engine")
    assert find_engine(tmp_path, "stage_00", KEY, digest) == (b"engine", "")
    found, why = find_engine(tmp_path, "stage_00", KEY, "0" * 64)
    assert found is None
    assert "damaged" in why


def test_the_users_cache_is_where_the_system_has_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache(KEY) == tmp_path / "bskim-export" / "engines" / "bbbbbbbbbbbbbbbb-tensorrt-rtx-8.9"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert user_cache(KEY).is_relative_to(tmp_path / "home" / ".cache")


@pytest.mark.parametrize(
    ("field", "value"),
    [("graph", "c" * 64), ("weights", "c" * 64), ("runtime", "tensorrt-rtx 1.8.0"), ("device", "12.0"),
     ("precision", "fp32"), ("profile", {"batch_size": (1, 32), "length": (192, 384)})],
)  # fmt: skip
def test_a_stale_engine_is_not_used_and_the_reason_names_what_changed(tmp_path, field, value):
    keep_engine(tmp_path, "stage_00", KEY, b"engine")
    found, reason = find_engine(tmp_path, "stage_00", replace(KEY, **{field: value}))
    assert found is None
    assert reason.startswith(f"it is stale: {field} was ")
    assert "," not in reason.split(" is ")[0].removeprefix(f"it is stale: {field} was ").split("{")[0]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [(lambda engine, label: engine.write_bytes(b"engin"), "damaged"),
     (lambda engine, label: engine.write_bytes(b"engins"), "damaged"),
     (lambda engine, label: engine.unlink(), "not built yet"),
     (lambda engine, label: label.unlink(), "not built yet"),
     (lambda engine, label: label.write_text("{"), "cannot be read"),
     (lambda engine, label: label.write_text("[]"), "label is damaged"),
     (lambda engine, label: label.write_bytes(b"\xff\xfe"), "cannot be read"),
     (lambda engine, label: label.write_text(json.dumps({"key": {}})), "stale")],
)  # fmt: skip
def test_a_damaged_engine_is_not_used(tmp_path, damage, reason):
    keep_engine(tmp_path, "stage_00", KEY, b"engine")
    damage(tmp_path / "stage_00.engine", tmp_path / "stage_00.json")
    found, why = find_engine(tmp_path, "stage_00", KEY)
    assert found is None
    assert reason in why
    keep_engine(tmp_path, "stage_00", KEY, b"engine")
    assert find_engine(tmp_path, "stage_00", KEY)[0] == b"engine"
