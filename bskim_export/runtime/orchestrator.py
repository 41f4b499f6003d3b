"""Runs the stages of a bundle over a batch of windows and drops blocks between them."""

import os
from collections.abc import Sequence
from functools import cached_property
from threading import Lock

from bskim_export.backends.base import Backend, Engine
from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.manifest import Graph, Model, Stage
from bskim_export.errors import ForkError
from bskim_export.runtime.batch import Batch
from bskim_export.runtime.policy import Policy
from bskim_export.runtime.runner import WindowResult
from bskim_export.runtime.windows import Window

StageEngines = tuple[Stage, Engine, Engine | None]
"""A stage, its engine, and that of its predictor."""


class Orchestrator:
    """The engines of one bundle: a `Runner`.

    Args:
        bundle: opened and verified
        backend: compiles and runs the graphs
    """

    def __init__(self, bundle: Bundle, backend: Backend):
        self._bundle = bundle
        self._backend = backend
        self._dense_engine: Engine | None = None
        self._stage_engines: list[StageEngines] = []
        self._process = os.getpid()
        self._reopening = Lock()

    @property
    def model(self) -> Model:
        """Return shapes and special positions of the model."""
        return self._bundle.model

    @property
    def skim_layers(self) -> Sequence[int]:
        """Return the layers that have a predictor."""
        return self._bundle.skim_layers

    def load(self, dense: bool, skim: bool) -> None:
        """Compile the engines that will be needed, so that the first request does not wait for it."""
        if dense:
            self._dense()
        if skim:
            self._stages()

    def unload(self) -> None:
        """Let go of the engines. A later run compiles them anew."""
        self._dense_engine = None
        self._stage_engines = []

    def run(
        self, windows: Sequence[Window], policy: Policy | None, protected: Sequence[int | None] | None = None
    ) -> list[WindowResult]:
        """Run a batch of windows; see `Runner.run`. A policy that scores no layer runs the dense model as one graph.

        In a child of fork, engines are made anew at the first run.

        Raises:
            ForkError: this is a child of fork, and the backend's library cannot run there.
            BundleError: an engine fails, or its results are not numbers.
        """
        self._require_own_process()
        if policy is None or not any(policy.scores(layer) for layer in self.skim_layers):
            return self._run_dense(windows)
        batch = Batch(windows, protected, self.model, self._backend, self._skim_inputs)
        boundary = batch.tokens()
        for stage, engine, predictor in self._stages():
            # Compaction happens in the engine: its first operators gather the blocks that `layout` says were kept.
            feeds = boundary | batch.layout()
            outputs = engine.run({name: feeds[name] for name in stage.graph.input_names})
            if predictor is None or stage.skim is None or stage.skim_layer is None:
                break
            boundary = {"last_context": outputs["context"], "last_residual": outputs["residual"]}
            if batch.scored and policy.scores(stage.skim_layer):
                feeds |= outputs
                scores = predictor.run({name: feeds[name] for name in stage.skim.input_names})["keep_probability"]
                batch.drop(stage.skim_layer, self._backend.to_host(scores), policy)
                if not batch.live:
                    return batch.results
        return batch.finish(outputs)

    def _require_own_process(self) -> None:
        if self._process == os.getpid():
            return
        if not self._backend.survives_fork:
            raise ForkError(
                f"The pipeline was opened in process {self._process}, of which this one is a fork, and the "
                f"{self._backend.name} backend cannot run here: its threads were not copied. Open a pipeline after the "
                "fork, or start processes with 'spawn'."
            )
        with self._reopening:
            if self._process != os.getpid():
                self.unload()
                self._process = os.getpid()

    def _run_dense(self, windows: Sequence[Window]) -> list[WindowResult]:
        inputs = self._bundle.manifest.dense.input_names
        batch = Batch(windows, None, self.model, self._backend, inputs)
        feeds = batch.tokens() | batch.layout()
        return batch.finish(self._dense().run({name: feeds[name] for name in inputs}))

    def _dense(self) -> Engine:
        if self._dense_engine is None:
            self._dense_engine = self._load([self._bundle.manifest.dense])[0]
        return self._dense_engine

    def _stages(self) -> list[StageEngines]:
        if not self._stage_engines:
            stages = self._bundle.manifest.stages
            engines = iter(self._load([g for s in stages for g in (s.graph, s.skim) if g is not None]))
            self._stage_engines = [(s, next(engines), next(engines) if s.skim else None) for s in stages]
        return self._stage_engines

    @cached_property
    def _skim_inputs(self) -> set[str]:
        graphs = [g for s in self._bundle.manifest.stages for g in (s.graph, s.skim) if g is not None]
        return {name for graph in graphs for name in graph.input_names}

    def _load(self, graphs: Sequence[Graph]) -> list[Engine]:
        try:
            return [self._backend.load(self._bundle, graph) for graph in graphs]
        finally:
            self._bundle.release_weights()
            self._bundle.require_unchanged()  # also after a load that failed: files that changed are why, then
