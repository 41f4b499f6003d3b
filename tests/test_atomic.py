import os
from pathlib import Path

import numpy as np
import pytest
import torch

from bskim_export.atomic import write_atomic, write_json
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


def test_json_is_written_whole_and_folders_are_made(tmp_path):
    write_json(tmp_path / "a" / "b.json", {"x": [1, None]})
    assert (tmp_path / "a" / "b.json").read_text() == '{\n  "x": [\n    1,\n    null\n  ]\n}\n'
    with pytest.raises(TypeError):
        write_json(tmp_path / "a" / "b.json", {"x": object()})
    assert "null" in (tmp_path / "a" / "b.json").read_text()
