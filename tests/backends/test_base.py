import os

import pytest

from bskim_export.backends.base import available_cores


@pytest.fixture
def sixteen_cores(monkeypatch):
    """Let the scheduler allow 16 cores, whatever this machine has, so that only the quota decides."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)


def write_v2(root, content):
    (root / "cpu.max").write_text(content)
    return root


def write_v1(root, quota, period="100000"):
    (root / "cpu").mkdir()
    (root / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    if period is not None:
        (root / "cpu" / "cpu.cfs_period_us").write_text(f"{period}\n")
    return root


QUOTAS = [
    ("200000", "100000", 2),
    ("1600000", "100000", 16),
    ("6400000", "100000", 16),  # more than there are cores
    ("150000", "50000", 3),
    ("350000", "100000", 4),
    ("320000", "100000", 3),
    ("100000", "100000", 1),
    ("50000", "100000", 1),
    ("10000", "100000", 1),
    ("1000", "1000000", 1),
]


@pytest.mark.parametrize(("quota", "period", "cores"), QUOTAS)
def test_cgroup_v2_quota_caps_the_cores(sixteen_cores, tmp_path, quota, period, cores):
    assert available_cores(write_v2(tmp_path, f"{quota} {period}\n")) == cores


@pytest.mark.parametrize(("quota", "period", "cores"), QUOTAS)
def test_cgroup_v1_quota_caps_the_cores(sixteen_cores, tmp_path, quota, period, cores):
    assert available_cores(write_v1(tmp_path, quota, period)) == cores


def test_cgroup_v2_without_limit_leaves_all_cores(sixteen_cores, tmp_path):
    assert available_cores(write_v2(tmp_path, "max 100000\n")) == 16


def test_cgroup_v1_without_limit_leaves_all_cores(sixteen_cores, tmp_path):
    assert available_cores(write_v1(tmp_path, -1)) == 16


def test_cgroup_v2_goes_before_v1(sixteen_cores, tmp_path):
    write_v1(tmp_path, 800000)
    assert available_cores(write_v2(tmp_path, "200000 100000")) == 2
    assert available_cores(write_v2(tmp_path, "max 100000")) == 16


@pytest.mark.parametrize("content", ["", "max", "many few\n", "1 2 3"])
def test_a_v2_file_that_cannot_be_read_is_passed_over(sixteen_cores, tmp_path, content):
    write_v2(tmp_path, content)
    assert available_cores(tmp_path) == 16
    assert available_cores(write_v1(tmp_path, 300000)) == 3


@pytest.mark.parametrize(("quota", "period"), [("", "100000"), ("many", "100000"), (200000, None), (200000, "")])
def test_v1_files_that_cannot_be_read_are_passed_over(sixteen_cores, tmp_path, quota, period):
    assert available_cores(write_v1(tmp_path, quota, period)) == 16


@pytest.mark.parametrize("name", [".", "absent"])
def test_no_cgroup_leaves_the_scheduler_affinity(tmp_path, name):
    assert available_cores(tmp_path / name) == len(os.sched_getaffinity(0))


def test_a_process_bound_to_one_core_gets_one_whatever_the_quota(tmp_path):
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert available_cores(write_v2(tmp_path, "1600000 100000")) == 1
    finally:
        os.sched_setaffinity(0, before)


def test_systems_without_affinity_count_the_cores(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    assert available_cores(tmp_path) == os.cpu_count()
    assert available_cores(write_v2(tmp_path, "100000 100000")) == 1


def test_this_machine_has_at_least_one_core_and_no_more_than_its_affinity():
    assert 1 <= available_cores() <= len(os.sched_getaffinity(0))
