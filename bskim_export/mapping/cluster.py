"""The machines: a Ray of this machine alone or of a cluster, and a pool of actors on it. Only this file imports Ray."""

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

# Ray reads this when it is imported. Set it to 1 beforehand to let it send its telemetry.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
import ray.data
import ray.exceptions

from bskim_export.backends.base import available_cores
from bskim_export.errors import BskimError, InputError
from bskim_export.mapping.actor import PartAnswerer, Task
from bskim_export.mapping.source import Part

THREADS = 1
"""Of an actor, if nothing else is asked for. What one process does beside its graphs, it does on one core."""

STORE = 128 * 2**20
"""Bytes of Ray's shared memory on one machine. Rows do not go through it, only the names of parts."""


@dataclass(frozen=True)
class Pool:
    """How many actors there may be, and what each of them has to itself."""

    actors: int
    threads: int
    gpus: float = 0


@contextmanager
def connected(address: str | None, verbose: bool) -> Iterator[None]:
    """Have Ray, of this machine alone or of the cluster at an address, until the block is left.

    Args:
        address: as `ray.init` takes it, such as "auto" on a node of a cluster; None for this machine alone
        verbose: show what Ray and the actors log

    Raises:
        InputError: there is no cluster.
    """
    alone: dict[str, Any] = {"address": "local", "num_cpus": available_cores(), "object_store_memory": STORE}
    level = logging.INFO if verbose else logging.ERROR
    if not verbose:  # its core warns of what cannot be: that an actor's arguments are lost while the driver is there
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with nullcontext() if verbose else _silent():
            ray.init(
                **({"address": address} if address else {**alone, "include_dashboard": False}),
                log_to_driver=verbose,
                logging_level=level,
            )
    except (ConnectionError, ValueError, RuntimeError) as error:
        at = f"at '{address}'" if address else "on this machine"
        raise InputError(f"There is no Ray {at}: {error}") from error
    with suppress(ValueError):  # not in the main thread. Ray sets one that ends without clean-up
        signal.signal(signal.SIGTERM, handler)
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(level)
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _silent() -> Iterator[None]:
    """Let go of what libraries in C++ write to standard error. What fails is raised all the same."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def choose_pool(actors: int | None, threads: int | None, gpus: float, parts: int) -> Pool:
    """Return the pool that fits on the nodes that are connected.

    Args:
        actors: at most; default: as many as there are cores or GPUs for
        threads: of each; default: THREADS
        gpus: of each
        parts: how many there are to be done

    Raises:
        InputError: no node has room for one actor.

    Example:
        >>> choose_pool(None, 2, 0, parts=100)  # on 2 nodes of 4 cores  # doctest: +SKIP
        Pool(actors=4, threads=2, gpus=0)
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cores = [int(node.get("CPU", 0)) for node in nodes]
    own = threads or THREADS
    room = [
        min(count // own, int(node.get("GPU", 0) / gpus) if gpus else count)
        for count, node in zip(cores, nodes, strict=True)
    ]
    if not sum(room):
        has = f"the largest has {max(cores, default=0)} cores and {int(max(n.get('GPU', 0) for n in nodes))} GPUs"
        raise InputError(f"No node has {own} cores{f' and {gpus:g} GPUs' if gpus else ''}: {has}. Ask for less.")
    return Pool(max(1, min(actors or sum(room), sum(room), parts)), own, gpus)


def answer_parts(parts: Sequence[Part], task: Task, pool: Pool, tell: Callable[[dict[str, Any]], object]) -> None:
    """Have all parts answered and written by actors, some at once. An actor that dies is replaced, and its part done
    again.

    Args:
        tell: called with what `PartAnswerer` returns of each part, as they are done, in any order

    Raises:
        BskimError: a part failed, or its actors died too often. Others that were done stay.
    """
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.max_tasks_in_flight_per_actor = 2  # so that an actor finds its next part when it is done with one
    dataset = ray.data.from_items([{"part": part} for part in parts], override_num_blocks=len(parts)).map_batches(
        PartAnswerer,
        fn_constructor_kwargs={"task": task},
        batch_size=1,
        concurrency=(1, pool.actors),
        num_cpus=pool.threads,
        num_gpus=pool.gpus or None,
    )
    try:
        for line in dataset.iter_rows():
            if line["failure"]:
                raise BskimError(f"{line['failure']} (Part {line['part']}, on {line['node']}.)")
            tell(line)
    except ray.exceptions.RayError as error:
        said = next((text for text in str(error).splitlines() if text.strip()), type(error).__name__)
        raise BskimError(
            f"Ray stopped: {said} Parts that are done stay: call again to go on. If an actor died of too little "
            f"memory, use fewer --actors or smaller --part-rows."
        ) from error


def measured(begin: float, busy: float, rows: int, pool: Pool) -> tuple[float, float]:
    """Return the two numbers that predict a larger cluster: seconds of start, and core-seconds of a row.

    Args:
        begin: `time.perf_counter()` when the run began
        busy: seconds that actors spent on parts, summed
        rows: in these parts
    """
    took = time.perf_counter() - begin
    return max(0.0, took - busy / pool.actors), busy * pool.threads / rows
