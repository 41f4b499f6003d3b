import numpy as np
import pytest

from bskim_export.calibrate.store import SHARD, remembered, shards


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
    np.savez(damaged, other=np.zeros(3))
    (tmp_path / "00000.npz").write_bytes(b"garbage")
    (tmp_path / "00002.npz").write_bytes((tmp_path / "00001.npz").read_bytes())
    assert (run() == whole).all()
    assert computed == [0, SHARD, 2 * SHARD]


@pytest.mark.parametrize(
    "content", ["", "{}", "[1]", "1.5", '{"value": 2.5, "fingerprint": "0"}', "[" * 100_000, "null"]
)
def test_a_remembered_value_that_is_spoiled_is_computed_again(content, tmp_path):
    (tmp_path / "v.json").write_text(content)
    assert [remembered(tmp_path / "v.json", lambda: 1.5) for _ in range(2)] == [1.5, 1.5]
    assert remembered(tmp_path / "v.json", lambda: None) == 1.5


def test_a_remembered_value_is_computed_once(tmp_path):
    values = iter([1.5, 2.5])
    assert [remembered(tmp_path / "v.json", lambda: next(values)) for _ in range(3)] == [1.5] * 3


def test_a_shard_that_cannot_be_computed_leaves_those_before_it(tmp_path):
    def fail_late(part):
        if part[0]:
            raise KeyboardInterrupt
        return {"x": np.array(part)}

    with pytest.raises(KeyboardInterrupt):
        list(shards(tmp_path, range(SHARD + 1), fail_late))
    assert [p.name for p in tmp_path.iterdir()] == ["00000.npz"]
