"""What is tried on a CPU: a bundle on a backend in a precision, proven before it is measured."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bskim_export.backends.catalogue import CATALOGUE, open_backend
from bskim_export.backends.processor import needed
from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.manifest import CpuWay
from bskim_export.data.question import Question
from bskim_export.errors import BskimError
from bskim_export.export.parity import COARSE, EXACT, Limits, find_faults, measure_parity
from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.runtime.pipeline import QAPipeline

ONE_SIDED = 1.645
"""Standard errors above which 5 % of chance results lie."""
NOT_TRIED = ("torch",)
"""Backends that are not tried: whoever runs a bundle need not have them, and they are no faster."""


@dataclass(frozen=True)
class Timed:
    """What was measured of one set of predictors, over the questions of one kind.

    seconds: of all these questions, one at a time; medians of repeated runs
    f1: of each question, percent
    """

    seconds: float
    f1: list[float]

    def loses(self, dense: "Timed", budget: float) -> bool:
        """Return whether F1 is below the dense model's by more than a budget, and by more than chance explains."""
        lost = np.subtract(dense.f1, self.f1)
        return float(lost.mean() - ONE_SIDED * lost.std() / math.sqrt(len(lost))) > budget


@dataclass
class Trial:
    """One bundle on one backend in one precision.

    graphs: the precision of the bundle's graphs
    precision: the one that is computed in
    pipeline: what runs it; None if it was refused
    refused: why it is not tried
    budget: points of F1 that predictors may cost
    timed: by kind of question (whether it has several windows) and by the layers whose predictors run
    """

    graphs: str
    backend: str
    version: str
    precision: str
    pipeline: QAPipeline | None = None
    refused: str | None = None
    budget: float = COARSE.f1_drop
    timed: dict[bool, dict[tuple[int, ...], Timed]] = field(default_factory=dict)

    @property
    def best(self) -> list[Timed]:
        """Return what was measured of the fastest set of predictors, for each kind of question that there was."""
        return [sets[self._fastest(sets)] for sets in self.timed.values()]

    @property
    def questions(self) -> int:
        """Return how many were measured."""
        return sum(len(timed.f1) for timed in self.best)

    @property
    def seconds(self) -> float:
        """Return the time of all questions, each kind with its fastest set of predictors."""
        return sum(timed.seconds for timed in self.best)

    @property
    def dense_seconds(self) -> float:
        """Return the time of all questions without predictors."""
        return sum(sets[()].seconds for sets in self.timed.values())

    @property
    def f1(self) -> float:
        """Return the F1 of all questions, percent, each kind with its fastest set of predictors."""
        return sum(sum(timed.f1) for timed in self.best) / self.questions

    def fastest(self, document: bool) -> tuple[int, ...] | None:
        """Return the fastest set of predictors for a kind of question; None if there was no such question."""
        sets = self.timed.get(document)
        return None if sets is None else self._fastest(sets)

    def _fastest(self, sets: Mapping[tuple[int, ...], Timed]) -> tuple[int, ...]:
        allowed = [layers for layers, timed in sets.items() if not timed.loses(sets[()], self.budget)]
        return min(allowed, key=lambda layers: sets[layers].seconds)

    def way(self, layers: Sequence[int]) -> CpuWay:
        """Return it as the manifest has it.

        Args:
            layers: those of all predictors, which run where nothing else was measured
        """
        single, document = (list(layers if (best := self.fastest(kind)) is None else best) for kind in (False, True))
        needs = needed([self.graphs, self.precision])
        return CpuWay(self.backend, self.precision, needs, single, document, self.seconds / self.questions)

    def as_dict(self) -> dict[str, Any]:
        """Return what was found, for a report."""
        names = ("graphs", "backend", "version", "precision", "refused")
        sets = [
            {
                "several_windows": kind,
                "skim_layers": list(layers),
                "questions": len(timed.f1),
                "seconds": timed.seconds,
                "f1": float(np.mean(timed.f1)),
            }
            for kind, found in self.timed.items()
            for layers, timed in found.items()
        ]
        return {**{name: getattr(self, name) for name in names}, "sets": sets}


def find_trials(bundle: Bundle) -> list[Trial]:
    """Return what is installed here and can run a bundle on the CPU, ONNX Runtime first."""
    graphs = bundle.manifest.precision
    return [
        Trial(graphs, entry.name, found, precision)
        for entry in CATALOGUE.values()
        if entry.device == "CPU" and entry.name not in NOT_TRIED and (found := entry.installed)
        for precision in entry.precisions
    ]


def prove(
    trial: Trial,
    bundle: Bundle,
    model: BlockSkimForQuestionAnswering,
    questions: Callable[[bool], Sequence[Question]],
    coarse: Limits,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Open a trial's pipeline and compare it with PyTorch, as export does with every bundle; note why it is refused.

    What export ran, ONNX Runtime, it has compared before.

    Args:
        questions: for whether both graphs and computation are exact, those to compare on
        coarse: the limits where they are not
    """
    exact = trial.graphs == trial.precision == "fp32"
    trial.budget = coarse.f1_drop
    try:
        pipeline = QAPipeline(bundle, backend=open_backend(trial.backend, precision=trial.precision))
        if trial.backend != "onnxruntime":
            asked = questions(exact)
            done = iter(range(1, len(asked) + 1))
            progress(0, len(asked))
            parity = measure_parity(pipeline, model, asked, lambda: progress(next(done), len(asked)))
            if faults := find_faults(parity, EXACT if exact else coarse):
                trial.refused = f"against PyTorch on {len(asked)} questions, {'; '.join(faults)}"
                pipeline.close()
                return
        trial.pipeline = pipeline
    except BskimError as error:
        trial.refused = str(error)
