"""Runs the stages of a bundle over a batch of windows and drops blocks between them."""

from collections.abc import Sequence
from functools import cached_property

from bskim_export.backends.base import Backend, Engine
from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.manifest import Stage
from bskim_export.runtime.batch import Batch
from bskim_export.runtime.bundle_runner import BundleRunner
from bskim_export.runtime.policy import Policy
from bskim_export.runtime.runner import WindowResult
from bskim_export.runtime.windows import Window

StageEngines = tuple[Stage, Engine, Engine | None]
"""A stage, its engine, and that of its predictor."""


class Orchestrator(BundleRunner):
    """The staged engines of one bundle, for libraries that compile no shapes that depend on data; see BundleRunner."""

    def __init__(self, bundle: Bundle, backend: Backend):
        super().__init__(bundle, backend)
        self._dense_engine: Engine | None = None
        self._stage_engines: list[StageEngines] = []

    def load(self, dense: bool, skim: bool) -> None:
        """Compile the engines that will be needed; see `BundleRunner.load`."""
        if dense:
            self._dense()
        if skim:
            self._stages()

    def unload(self) -> None:
        """Let go of the engines; see `BundleRunner.unload`."""
        self._dense_engine = None
        self._stage_engines = []

    def _run_dense(self, windows: Sequence[Window]) -> list[WindowResult]:
        return self._run_batch(self._dense(), windows)

    def _run_skim(
        self, windows: Sequence[Window], policy: Policy, protected: Sequence[int | None] | None
    ) -> list[WindowResult]:
        batch = Batch(windows, protected, self.model, self._backend, self._skim_inputs, self.skim_layers)
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

    def _dense(self) -> Engine:
        if self._dense_engine is None:
            self._dense_engine = self.load_graphs([self._bundle.manifest.dense])[0]
        return self._dense_engine

    def _stages(self) -> list[StageEngines]:
        if not self._stage_engines:
            stages = self._bundle.manifest.stages
            engines = iter(self.load_graphs([g for s in stages for g in (s.graph, s.skim) if g is not None]))
            self._stage_engines = [(s, next(engines), next(engines) if s.skim else None) for s in stages]
        return self._stage_engines

    @cached_property
    def _skim_inputs(self) -> set[str]:
        graphs = [g for s in self._bundle.manifest.stages for g in (s.graph, s.skim) if g is not None]
        return {name for graph in graphs for name in graph.input_names}
