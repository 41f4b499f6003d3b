"""Two nodes of one core against one node of two: python tests/attack/map_nodes.py BUNDLE --rows 4000 --turns 3

Maps the same rows on Ray clusters of this machine, in turns: one node with two cores, then two nodes with one core
each. What a second node costs beyond its cores shows as a ratio below one. Prints a line for each turn, and the median
ratio of whole runs and of what is left without the start.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import pyarrow as pa
import pyarrow.parquet as pq
from map_kills import make_rows


@contextmanager
def cluster_of(cores: Sequence[int]) -> Iterator[str]:
    """Have a Ray cluster with a node for each number of cores. Gives its address."""
    from ray.cluster_utils import Cluster

    head, *others = cores
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": head, "include_dashboard": False})
    try:
        for count in others:
            cluster.add_node(num_cpus=count)
        cluster.wait_for_nodes()
        yield cluster.address
    finally:
        cluster.shutdown()


def run_once(bundle: Path, state: Path, part_rows: int, cores: Sequence[int]) -> dict[str, float]:
    """Return the report of one run on a fresh cluster."""
    out = state / "out"
    shutil.rmtree(out, ignore_errors=True)
    report = state / "report.json"
    command = [sys.executable, "-m", "bskim_export.commands", "map", str(state / "in.parquet"), "--out", str(out)]
    command += ["--bundle", str(bundle), "--part-rows", str(part_rows), "--json", str(report), "--quiet"]
    with cluster_of(cores) as address:
        subprocess.run([*command, "--address", address], check=True)
    return json.loads(report.read_text())


def main() -> None:
    """Run in turns, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--distinct", type=int, default=2000, help="questions that the rows repeat")
    parser.add_argument("--part-rows", type=int, default=125)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--state", type=Path, default=Path("build/map_nodes"), help="a folder, which is emptied")
    arguments = parser.parse_args()
    shutil.rmtree(arguments.state, ignore_errors=True)
    arguments.state.mkdir(parents=True)
    rows = make_rows(arguments.rows, min(arguments.distinct, arguments.rows))
    pq.write_table(pa.Table.from_pylist(rows), arguments.state / "in.parquet")
    whole, answering = [], []
    for turn in range(arguments.turns):
        kinds = {"one": [2], "two": [1, 1]}
        order = list(kinds) if turn % 2 == 0 else list(kinds)[::-1]
        took = {name: run_once(arguments.bundle, arguments.state, arguments.part_rows, kinds[name]) for name in order}
        one, two = took["one"], took["two"]
        whole.append(one["seconds"] / two["seconds"])
        answering.append((one["seconds"] - one["start"]) / (two["seconds"] - two["start"]))
        print(
            f"turn {turn + 1}: one node {one['seconds']:.1f} s (start {one['start']:.1f}, {one['row'] * 1e3:.1f} ms a "
            f"row), two nodes {two['seconds']:.1f} s (start {two['start']:.1f}, {two['row'] * 1e3:.1f} ms a row)",
            flush=True,
        )
    print(f"two nodes are {median(whole):.2f}x as fast as one; without the start {median(answering):.2f}x")


if __name__ == "__main__":
    main()
