"""What all runners of a bundle have in common: its engines, the process that they were made in, the dense model."""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from threading import Lock

from bskim_export.backends.base import Backend, Engine
from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.manifest import Graph, Model
from bskim_export.errors import ForkError
from bskim_export.runtime.batch import Batch
from bskim_export.runtime.policy import Policy
from bskim_export.runtime.runner import WindowResult
from bskim_export.runtime.windows import Window


class BundleRunner(ABC):
    """The engines of one bundle: a `Runner`.

    Args:
        bundle: opened and verified
        backend: compiles and runs the graphs
    """

    alone = False

    def __init__(self, bundle: Bundle, backend: Backend):
        self._bundle = bundle
        self._backend = backend
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

    @abstractmethod
    def load(self, dense: bool, skim: bool) -> None:
        """Compile the engines that will be needed, so that the first request does not wait for it."""

    @abstractmethod
    def unload(self) -> None:
        """Let go of the engines. A later run compiles them anew."""

    def lanes(self) -> "Sequence[BundleRunner]":
        """Return runners that may run at the same time, each from a thread of its own, and share this one's engines:
        together they do the most work. This one is the fastest for a window that is alone."""
        return [self]

    def run(
        self, windows: Sequence[Window], policy: Policy | None, protected: Sequence[int | None] | None = None
    ) -> list[WindowResult]:
        """Run a batch of windows; see `Runner.run`. A policy that scores no layer runs the dense model as one graph.

        In a child of fork, engines are made anew at the first run.

        Raises:
            ForkError: this is a child of fork, and the backend's library cannot run there.
            BundleError: an engine fails, or its results are not numbers.
        """
        self.require_own_process()
        if policy is None or not any(policy.scores(layer) for layer in self.skim_layers):
            return self._run_dense(windows)
        return self._run_skim(windows, policy, protected)

    @abstractmethod
    def _run_dense(self, windows: Sequence[Window]) -> list[WindowResult]: ...

    @abstractmethod
    def _run_skim(
        self, windows: Sequence[Window], policy: Policy, protected: Sequence[int | None] | None
    ) -> list[WindowResult]: ...

    def _run_batch(self, dense: Engine, windows: Sequence[Window]) -> list[WindowResult]:
        """Run a batch through the dense model."""
        inputs = self._bundle.manifest.dense.input_names
        batch = Batch(windows, None, self.model, self._backend, inputs, self.skim_layers)
        feeds = batch.tokens() | batch.layout()
        return batch.finish(dense.run({name: feeds[name] for name in inputs}))

    def load_graphs(self, graphs: Sequence[Graph], streams: int = 1) -> list[Engine]:
        """Compile graphs of the bundle; see `Backend.load`. Raises BundleError."""
        try:
            return [self._backend.load(self._bundle, graph, streams) for graph in graphs]
        finally:
            self._bundle.release_weights()
            self._bundle.require_unchanged()  # also after a load that failed: files that changed are why, then

    def require_own_process(self) -> None:
        """Let go of engines that were made in the process of which this one is a fork.

        Raises:
            ForkError: the backend's library cannot run in a fork.
        """
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
