"""On a real Ray: whatever is killed, in the end every row is there once, and right."""

import os
import random
import signal
import subprocess
import sys
import time

import psutil
import pytest
from mapping.conftest import check, command, read_out, succeed_apart, write_lines

PARTS = 120
PATIENCE = 240
"""Seconds for a run to get somewhere, on a machine that has other work."""


@pytest.fixture(scope="module")
def many(rows):
    """Enough rows for PARTS parts of ten."""
    return [{**row, "id": number} for number, row in enumerate(rows * (PARTS * 10 // len(rows)))]


def parts_of(out):
    """Return the final files that there are, and when each was written."""
    return {p.name: p.stat().st_mtime_ns for p in out.glob("part-*")} if out.exists() else {}


def wait_for_parts(process, out, count):
    """Wait until a run has written so many parts. Returns whether it still runs."""
    end = time.monotonic() + PATIENCE
    while len(parts_of(out)) < count and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.005)
    return process.poll() is None


def kill_tree(process):
    """Kill a process and all that it started, Ray's included."""
    tree = psutil.Process(process.pid)
    for one in [tree, *tree.children(recursive=True)]:
        one.send_signal(signal.SIGKILL)
    process.wait()


def actors_below(parent):
    """Return the processes of actors, each with the process that started it."""
    found = []
    for one in psutil.Process(parent).children(recursive=True):
        try:
            if " ".join(one.cmdline()).startswith("ray::MapWorker"):
                found.append((one, one.ppid()))
        except psutil.Error:
            continue
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, 4])
def test_a_run_that_was_killed_whole_goes_on_and_answers_nothing_twice(tmp_path, many, tiny, tiny_qa, kills):
    chance = random.Random(kills)
    arguments = [write_lines(tmp_path / "in.jsonl", many), "--out", tmp_path / "out", "--bundle", tiny]
    arguments += ["--part-rows", 10, "--threads", 1, "--quiet"]
    before: dict[str, int] = {}
    for stop in sorted(chance.sample(range(1, 80), kills)):
        process = subprocess.Popen(command(*arguments), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        assert wait_for_parts(process, tmp_path / "out", max(stop, len(before) + 1))
        time.sleep(chance.uniform(0, 0.05))
        kill_tree(process)
        after = parts_of(tmp_path / "out")
        assert before.items() <= after.items()
        assert all(len((tmp_path / "out" / name).read_bytes().splitlines()) == 10 for name in after)
        before = after
    assert 0 < len(before) < PARTS
    said = succeed_apart(*arguments)
    assert f"{len(before) * 10:,} were there already" in " ".join(said.split())
    assert before.items() <= parts_of(tmp_path / "out").items()
    check(read_out(tmp_path / "out"), many, tiny_qa)


@pytest.mark.slow
def test_a_cluster_of_two_nodes_survives_the_death_of_an_actor(tmp_path, many, tiny, tiny_qa, monkeypatch):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        arguments = [write_lines(tmp_path / "in.jsonl", many * 5), "--out", tmp_path / "out", "--bundle", tiny]
        arguments += ["--part-rows", 10, "--address", cluster.address, "--quiet"]
        process = subprocess.Popen(command(*arguments), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        end = time.monotonic() + PATIENCE
        while len({node for _, node in actors_below(os.getpid())}) < 2:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.05)
        assert wait_for_parts(process, tmp_path / "out", len(parts_of(tmp_path / "out")) + 20)
        actors_below(os.getpid())[-1][0].kill()
        said, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
        assert "2 actors of 1 threads" in said
    finally:
        cluster.shutdown()
    found = read_out(tmp_path / "out")
    assert len(found) == 5 * len(many)
    for start in range(0, len(found), len(many)):
        check(found[start : start + len(many)], many, tiny_qa)


@pytest.mark.parametrize(
    ("nodes", "asked", "pool"),
    [
        ([4, 4], (None, None, 0, 100), (8, 1, 0)),
        ([4, 4], (None, 3, 0, 100), (2, 3, 0)),
        ([4, 4], (5, None, 0, 100), (5, 1, 0)),
        ([4, 0], (None, None, 0, 2), (2, 1, 0)),
        ([4, 4], (None, 1, 0.5, 100), (4, 1, 0.5)),
        ([4], (None, 5, 0, 100), "No node has 5 cores: the largest has 4 cores"),
        ([4], (None, 1, 3, 100), "No node has 1 cores and 3 GPUs"),
    ],
)
def test_the_pool_is_what_the_nodes_have_room_for(monkeypatch, nodes, asked, pool):
    from bskim_export.mapping import cluster

    found = [{"Alive": True, "Resources": {"CPU": float(n), "GPU": 1.0}} for n in nodes]
    monkeypatch.setattr(cluster.ray, "nodes", lambda: [*found, {"Alive": False, "Resources": {"CPU": 64.0}}])
    if isinstance(pool, str):
        with pytest.raises(cluster.InputError, match=pool):
            cluster.choose_pool(*asked)
    else:
        assert cluster.choose_pool(*asked) == cluster.Pool(*pool)


def test_rays_telemetry_is_off_unless_the_user_wants_it():
    program = "import os; import bskim_export.mapping.cluster; print(os.environ['RAY_USAGE_STATS_ENABLED'])"
    free = {name: value for name, value in os.environ.items() if name != "RAY_USAGE_STATS_ENABLED"}
    for given, found in (({}, "0"), ({"RAY_USAGE_STATS_ENABLED": "1"}, "1")):
        done = subprocess.run([sys.executable, "-c", program], env={**free, **given}, capture_output=True, text=True)
        assert done.stdout.strip() == found, done.stderr
