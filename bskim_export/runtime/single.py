"""Runs windows through the single graph of a bundle, each by itself: what the CPU does best.

A window alone has no grid to pad to the width of others. Windows side by side, one core each, have no barrier behind
every operator: that is the fastest where several are at hand, and all cores for one window where not.
"""

import copy
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from bskim_export.backends.base import Backend, Engine
from bskim_export.blocks import KEPT, count_blocks
from bskim_export.bundle import single_graph
from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.manifest import Graph
from bskim_export.bundle.tensors import LOGITS, TOKEN_INPUTS
from bskim_export.errors import BundleError
from bskim_export.runtime.batch import require_numbers
from bskim_export.runtime.bundle_runner import BundleRunner
from bskim_export.runtime.options import BATCH_SIZE
from bskim_export.runtime.orchestrator import Orchestrator
from bskim_export.runtime.policy import Policy
from bskim_export.runtime.runner import NOT_JUDGED, WindowResult
from bskim_export.runtime.windows import Window

log = logging.getLogger("bskim_export")

Steering = dict[str, npt.NDArray[Any]]
"""Inputs of the single graph, by name."""

SOME = 4
"""Rounds of windows side by side from which on the last, incomplete one does not matter."""


class SingleRunner(BundleRunner):
    """The graphs of one window of a bundle that has them; see BundleRunner."""

    alone = True

    def __init__(self, bundle: Bundle, backend: Backend):
        super().__init__(bundle, backend)
        self._engines: dict[tuple[str, bool], Engine] = {}
        self._on_one_core = False
        # A split model skims stage by stage: nobody has joined its stages.
        self._stages = Orchestrator(bundle, backend) if bundle.manifest.split is not None else None

    def load(self, dense: bool, skim: bool) -> None:
        """Compile the engines that will be needed; see `BundleRunner.load`."""
        if dense:
            self._engine(self._dense, several=False)
        if skim and self._stages is not None:
            self._stages.load(dense=False, skim=True)
        elif skim:
            self._engine(self._single, several=False)

    def unload(self) -> None:
        """Let go of the engines; see `BundleRunner.unload`."""
        self._engines.clear()  # which lanes share
        if self._stages is not None:
            self._stages.unload()

    def lanes(self) -> "list[SingleRunner]":
        """Return one for each core, which run windows one after the other there; see `BundleRunner.lanes`."""
        lane = copy.copy(self)
        lane._on_one_core = self._backend.threads > 1
        return [lane] * self._backend.threads

    def _run_dense(self, windows: Sequence[Window]) -> list[WindowResult]:
        return self._share_out(windows, self._dense, lambda engine, i: self._run_one_dense(engine, windows[i]))

    def _run_skim(
        self, windows: Sequence[Window], policy: Policy, protected: Sequence[int | None] | None
    ) -> list[WindowResult]:
        if self._stages is not None:
            size = BATCH_SIZE
            parts = [slice(i, i + size) for i in range(0, len(windows), size)]
            held = protected or [None] * len(windows)
            return [one for part in parts for one in self._stages.run(windows[part], policy, held[part])]
        feeds = self._steer(windows, policy, protected or [None] * len(windows))
        return self._share_out(windows, self._single, lambda engine, i: self._run_one(engine, windows[i], feeds[i]))

    @property
    def _single(self) -> Graph:
        graph = self._bundle.manifest.single
        assert graph is not None, "a policy that scores a layer needs predictors, and bundles with some have this graph"
        return graph

    @property
    def _dense(self) -> Graph:
        graph = self._bundle.manifest.dense_alone
        assert graph is not None, "the constructor asks for a bundle that has it"
        return graph

    def _share_out(
        self, windows: Sequence[Window], graph: Graph, run: Callable[[Engine, int], WindowResult]
    ) -> list[WindowResult]:
        """Run windows side by side, and what is left of a few one after the other."""
        if self._on_one_core:
            engine = self._engine(graph, several=True)
            return [run(engine, i) for i in range(len(windows))]
        cores = self._backend.threads
        count = len(windows)
        several = count if count >= SOME * cores else count - count % cores
        results: list[WindowResult] = []
        if cores > 1 and several:
            engine = self._engine(graph, several=True)
            pool = ThreadPoolExecutor(cores, thread_name_prefix="bskim")
            try:
                results = list(pool.map(lambda i: run(engine, i), range(several)))
            finally:
                pool.shutdown(cancel_futures=True)
        if len(results) < count:
            engine = self._engine(graph, several=False)
            results += [run(engine, i) for i in range(len(results), count)]
        return results

    def _run_one_dense(self, engine: Engine, window: Window) -> WindowResult:
        size = self.model.block_size
        if window.states is None:
            tokens = [name for name in TOKEN_INPUTS if name in self._dense.input_names]
            feeds = {name: getattr(window, name).reshape(-1, size) for name in tokens}
            start, end = self._outputs(engine, {**feeds, single_graph.LENGTH.name: np.array([window.length])}, LOGITS)
        else:
            start, end = self._read_states(engine, window.states, window.is_token)
        blocks = len(window.input_ids) // size
        never = np.full(blocks, KEPT, np.int16)
        unjudged = np.full((len(self.skim_layers), blocks), NOT_JUDGED)
        return WindowResult(start.ravel(), end.ravel(), never, probabilities=unjudged)

    def _read_states(
        self, engine: Engine, states: npt.NDArray[np.float32], is_token: npt.NDArray[np.bool_]
    ) -> list[npt.NDArray[np.float32]]:
        """Return start and end logits, float32 [K * block_size], of a split model's window; 0 for padding.

        Behind the lower layers no token has a position: they may stand in any place. So padding is left out of the
        middle, where the graph could not tell it from tokens, and costs nothing.

        Args:
            states: float32 [K, block_size, H]
            is_token: bool [K * block_size]
        """
        size = self.model.block_size
        count = int(np.count_nonzero(is_token))
        packed = np.zeros((count_blocks(count, size) * size, states.shape[-1]), np.float32)
        packed[:count] = states.reshape(-1, states.shape[-1])[is_token]
        feeds = {"states": packed.reshape(-1, size, states.shape[-1]), single_graph.LENGTH.name: np.array([count])}
        found = []
        for logits in self._outputs(engine, feeds, LOGITS):
            spread = np.zeros(len(is_token), np.float32)
            spread[is_token] = logits.ravel()[:count]
            found.append(spread)
        return found

    def _run_one(self, engine: Engine, window: Window, steering: Steering) -> WindowResult:
        mask = np.zeros((1, len(window.input_ids)), np.int64)
        mask[:, : window.length] = 1
        tokens = {"input_ids": window.input_ids[None], "attention_mask": mask}
        outputs = self._outputs(engine, tokens | steering, single_graph.OUTPUTS)
        start, end, dropped, probability = (array[0] for array in outputs)
        require_numbers(probability, "keep probabilities")
        return self._read(start, end, dropped.astype(np.int16), probability)

    def _outputs(self, engine: Engine, feeds: Steering, names: Sequence[str]) -> list[npt.NDArray[Any]]:
        outputs = engine.run({name: self._backend.to_device(array) for name, array in feeds.items()})
        found = [self._backend.to_host(outputs[name]) for name in names]
        for name, array in zip(LOGITS, found, strict=False):
            require_numbers(array, name)
        return found

    def _read(
        self,
        start: npt.NDArray[np.float32],
        end: npt.NDArray[np.float32],
        dropped_after: npt.NDArray[np.int16],
        probabilities: npt.NDArray[np.float32],
    ) -> WindowResult:
        gone = np.repeat(dropped_after != KEPT, self.model.block_size)
        if gone.any():
            start, end = (np.where(gone, np.float32(-np.inf), logits) for logits in (start, end))
        result = WindowResult(start, end, dropped_after, probabilities=probabilities)
        if dropped_after[0] != KEPT:  # a block of the question, which goes with its window only
            result.leave(self.skim_layers.index(result.left_after))
        return result

    def _steer(self, windows: Sequence[Window], policy: Policy, protected: Sequence[int | None]) -> list[Steering]:
        """Return of each window what a policy says of it; see `bundle.single_graph.steering_specs`."""
        layers = self.skim_layers
        counts = [len(w.input_ids) // self.model.block_size for w in windows]
        began = np.zeros((len(windows), max(counts)), bool)
        droppable = np.zeros_like(began)
        for row, (window, count, held) in enumerate(zip(windows, counts, protected, strict=True)):
            began[row, window.unjudged_blocks : count] = True
            droppable[row, window.question_blocks : count] = True
            if held is not None:  # whatever the predictors say of it
                began[row, held] = droppable[row, held] = False
        judged = np.zeros((len(layers), *began.shape), bool)
        thresholds = np.zeros(judged.shape, np.float32)
        for number, layer in enumerate(layers):
            if policy.scores(layer):
                judged[number] = began
                thresholds[number] = policy.threshold(layer)
                allowed = policy.allowed(layer, began)
                if allowed is not None:
                    thresholds[number][~allowed] = single_graph.NEVER
        return [
            {
                "question_length": np.array([window.question_length]),
                "may_leave": np.array([window.may_leave and held is None]),
                "judged": np.ascontiguousarray(judged[:, row : row + 1, :count]),
                "thresholds": np.ascontiguousarray(thresholds[:, row : row + 1, :count]),
                "droppable": droppable[row : row + 1, :count],
            }
            for row, (window, count, held) in enumerate(zip(windows, counts, protected, strict=True))
        ]

    def _engine(self, graph: Graph, several: bool) -> Engine:
        """Return the engine for several windows side by side, or for one on all cores."""
        key = (graph.file, several)
        if key not in self._engines:
            try:
                (self._engines[key],) = self.load_graphs([graph], self._backend.threads if several else 1)
            except BundleError as error:
                other = self._engines.get((graph.file, not several))
                if other is None:
                    raise
                log.warning("Windows run on the engine that is there, which is slower: %s", error)
                self._engines[key] = other
        return self._engines[key]
