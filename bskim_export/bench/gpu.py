"""The three rows over batch sizes and lengths, on real keep patterns: for GPUs, and for models with random weights.

A combination is a bundle, a backend, a batch size and a length. It stands for a service that takes windows of up to
`length` positions and runs `batch_size` of them together:

    dense-padded   the dense model, every window padded to `length`
    dense          the dense model, every window as long as it is, rounded up to blocks
    skim           the same windows through stages and predictors, dropping what the example model dropped of them
    skim-imposed   the same with more dropped than is good for answers: for speed only

The windows are drawn from those that were recorded on SQuAD (`keep_patterns`) and have at most `length` positions. None
has more than 384: at length 512 they are the same windows as at 384, padded further. How many of the padded positions
are real tokens is part of each result (`real_share`). Every batch size gets the same windows, those of like length
together, as `QAPipeline` does.
"""

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from bskim_export.backends.base import Backend
from bskim_export.backends.catalogue import CATALOGUE, open_backend
from bskim_export.backends.tensorrt import FULL, RTX
from bskim_export.backends.tensorrt_engine import make_set
from bskim_export.bench.keep_patterns import Pattern, Replay, draw_patterns, load_patterns, make_window
from bskim_export.bundle.bundle import Bundle
from bskim_export.errors import InputError
from bskim_export.evaluate.machine import describe_machine
from bskim_export.evaluate.macs import window_macs
from bskim_export.evaluate.timing import interleaved
from bskim_export.runtime.orchestrator import Orchestrator

BASELINE = "dense"
SKIMS = {"skim": "own", "skim-imposed": "imposed"}
"""The rows that skim, and the recorded setting that each replays."""


class Rows:
    """One bundle on one backend, ready to be timed.

    Args:
        most: windows that run together at most; TensorRT's engines are built for that, unless the bundle holds some for
            this GPU
    """

    def __init__(self, folder: Path, backend: Backend, most: int):
        bundle = Bundle.open(folder)
        if backend.name in (RTX, FULL):
            engines = make_set(bundle.manifest.longest, backend.name, max_batch_size=most)
            if engines.folder not in [e.folder for e in bundle.manifest.engines]:
                bundle = bundle.with_engines([engines])
        self._model = bundle.model
        self._skim_layers = bundle.skim_layers
        self._vocabulary = Tokenizer.from_file(str(bundle.tokenizer)).get_vocab_size()
        self._orchestrator = Orchestrator(bundle, backend)
        self._orchestrator.load(dense=True, skim=bool(self._skim_layers))

    def measure(self, batch_size: int, length: int, windows: int, repeats: int) -> dict:
        """Return what one combination takes: medians of all rows, taking turns batch by batch.

        Results are read on the host, so that the time of a GPU's work is in them. A row that fails in its first run has
        the reason in place of figures.

        Args:
            windows: how many at least; rounded up to whole batches

        Raises:
            InputError: the model takes no windows of that length.
        """
        model = self._model
        if length > model.max_seq_len:
            raise InputError(f"Length {length} is more than the {model.max_seq_len} positions that the model takes.")
        drawn = draw_patterns(load_patterns(), length, -(-windows // batch_size) * batch_size)
        drawn.sort(key=lambda p: p.length)
        batches = [drawn[i : i + batch_size] for i in range(0, len(drawn), batch_size)]
        ways = self._ways(batches, length)
        macs: dict[str, int] = {}
        errors: dict[str, str] = {}
        for name, runs in ways.items():
            try:
                macs[name] = sum(self._macs(run, name in SKIMS) for run in runs)
            except Exception as error:  # whatever a backend raises, the other rows go on
                errors[name] = in_one_line(error)
        timed = [interleaved([ways[name][b] for name in macs], repeats) for b in range(len(batches))]
        ms = np.percentile(1e3 * np.array(timed), [25, 50, 75], axis=1).mean(axis=1)  # [quartiles, rows], of a batch
        done = {name: _row(batch_size, len(drawn), ms[:, i], macs[name]) for i, name in enumerate(macs)}
        if BASELINE in done:
            for name, row in done.items():
                row["speedup_time"] = done[BASELINE]["ms"] / row["ms"]
                row["speedup_macs"] = macs[BASELINE] / macs[name]
                row["measured_over_macs"] = row["speedup_time"] / row["speedup_macs"]
        return {
            "real_share": sum(p.length for p in drawn) / (len(drawn) * length),
            "rows": [{"name": name, **(done.get(name) or {"error": errors[name]})} for name in ways],
        }

    def _ways(self, batches: Sequence[Sequence[Pattern]], length: int) -> dict[str, list[partial]]:
        """Return what each row runs, a call for each batch."""
        run = self._orchestrator.run
        make = partial(make_window, model=self._model, vocabulary=self._vocabulary)
        real = [[make(p) for p in batch] for batch in batches]
        ways = {
            "dense-padded": [partial(run, [make(p, positions=length) for p in batch], None) for batch in batches],
            BASELINE: [partial(run, windows, None) for windows in real],
        }
        for name, setting in SKIMS.items() if self._skim_layers else ():
            policies = [Replay(batch, setting, self._model, self._skim_layers) for batch in batches]
            ways[name] = [partial(run, windows, policy) for windows, policy in zip(real, policies, strict=True)]
        return ways

    def _macs(self, run: partial, skims: bool) -> int:
        layers = self._skim_layers if skims else []
        pairs = zip(run.args[0], run(), strict=True)
        return sum(window_macs(self._model, r, w.unjudged_blocks, layers) for w, r in pairs)


def _row(batch_size: int, windows: int, ms: np.ndarray, macs: int) -> dict:
    return {
        "ms": float(ms[1]),
        "ms_quartiles": [float(ms[0]), float(ms[2])],
        "windows_per_second": 1e3 * batch_size / float(ms[1]),
        "gmacs_per_window": macs / windows / 1e9,
    }


def failed(answer: dict) -> bool:
    """Return whether a combination, or one of its rows, could not be measured."""
    return "error" in answer or any("error" in row for row in answer["rows"])


def in_one_line(error: Exception) -> str:
    """Return what an error says, or its kind if it says nothing."""
    return " ".join(str(error).split())[:500] or type(error).__name__


class Worker:
    """A process of its own for a backend: a GPU that ran into an error stays useless for the process that met it, two
    TensorRTs do not go together, and memory comes back for certain.

    Args:
        backend: a key of CATALOGUE
        folder: the bundle to be timed; without one, the backend is only opened
        most: windows that run together at most

    Attributes:
        machine: what figures depend on, see `describe_machine`; None if the backend or the bundle did not open
        error: why
    """

    def __init__(self, backend: str, folder: Path | None = None, most: int = 1):
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, backend, folder, most), daemon=True)
        self._process.start()
        theirs.close()
        hello = self._receive()
        self.machine = hello.get("machine")
        self.error = hello.get("error")

    def measure(self, job: dict) -> dict:
        """Return what `Rows.measure` returns, or {"error": why not}."""
        return {"error": self.error} if self.error is not None else self._receive(job)

    def close(self) -> None:
        """End the process, also in the middle of its work."""
        self._connection.close()
        self._process.terminate()
        self._process.join()

    def _receive(self, job: dict | None = None) -> dict:
        """Return what the process says, after a job if one is given."""
        try:
            if job is not None:
                self._connection.send(job)
            return self._connection.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            return {"error": f"The process ended by itself, with exit code {self._process.exitcode}."}


def _serve(connection, backend_name: str, folder: Path | None, most: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process
    try:
        backend = open_backend(backend_name)
        rows = Rows(folder, backend, most) if folder else None
    except Exception as error:
        connection.send({"error": in_one_line(error)})
        return
    connection.send({"machine": describe_machine(backend)})
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        try:
            answer = rows.measure(**job) if rows else {"error": "No bundle was opened."}
        except Exception as error:
            answer = {"error": in_one_line(error)}
        connection.send(answer)


def find_backends(names: Sequence[str]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Open backends, each in a process of its own.

    Args:
        names: keys of CATALOGUE; none of them: all that run on a GPU

    Returns:
        the machine of each that opens, and why the others do not.
    """
    machines: dict[str, dict[str, Any]] = {}
    against: dict[str, str] = {}
    for name in names or [name for name, entry in CATALOGUE.items() if entry.device != "CPU"]:
        if CATALOGUE[name].installed is None:
            against[name] = f"not installed; {CATALOGUE[name].how}"
            continue
        worker = Worker(name)
        worker.close()
        if worker.machine:
            machines[name] = worker.machine
        else:
            against[name] = str(worker.error)
    return machines, against


def measure_all(folder: Path, backend: str, jobs: Sequence[dict], most: int) -> Iterator[dict]:
    """Yield what each combination of a bundle and a backend takes, see `Rows.measure`, or {"error": why not}.

    After a failure, the next one gets a fresh process; a bundle that cannot be loaded is not tried again.
    """
    worker = None
    try:
        for job in jobs:
            worker = worker or Worker(backend, folder, most)
            answer = worker.measure(job)
            yield answer
            if failed(answer) and worker.error is None:
                worker.close()
                worker = None
    finally:
        if worker:
            worker.close()
