import os
from pathlib import Path

import numpy as np
import pytest
import torch

from bskim_export.atomic import write_atomic
from bskim_export.calibrate.store import SHARD, remembered, shards
from bskim_export.errors import DiskFullError


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("old")

    def fail(stream):
        stream.write(b"ne")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
@pytest.mark.parametrize(
    "write",
    [lambda s: s.write(b"x"), lambda s: np.savez(s, x=np.zeros(99_999)), lambda s: torch.save(torch.zeros(99_999), s)],
    ids=["bytes", "shard of a calibration", "checkpoint"],
)
def test_a_full_disk_leaves_the_old_file_and_is_told_by_name(write, tmp_path):
    path = tmp_path / "x"
    path.write_text("old")
    (tmp_path / f".x.{os.getpid()}").symlink_to("/dev/full")  # what is written before it takes the place of x
    with pytest.raises(DiskFullError, match=r"x' \(No space left on device\)\. Nothing was changed"):
        write_atomic(path, write)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_shards_compute_only_what_is_missing_or_damaged(tmp_path):
    computed = []

    def double(part):
        computed.append(part[0])
        return {"doubled": 2 * np.array(part)}

    items = list(range(2 * SHARD + 3))

    def run():
        computed.clear()
        return np.concatenate([a["doubled"] for _, a in shards(tmp_path, items, double)])

    whole = run()
    assert whole.tolist() == [2 * i for i in items]
    assert computed == [0, SHARD, 2 * SHARD]
    assert (run() == whole).all()
    assert computed == []
    (tmp_path / "00000.npz").unlink()
    damaged = tmp_path / "00001.npz"
    damaged.write_bytes(damaged.read_bytes()[:100])
    assert (run() == whole).all()
    assert computed == [0, SHARD]


def test_a_remembered_value_is_computed_once(tmp_path):
    values = iter([1.5, 2.5])
    assert [remembered(tmp_path / "v.json", lambda: next(values)) for _ in range(3)] == [1.5] * 3
