"""One threshold calibration, from questions to thresholds and evidence.

Every step that takes long is kept in a work directory, so that the same call after a kill goes on where it was and ends
with the same thresholds, bit for bit.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bskim_export.calibrate.budget import choose, dense_f1
from bskim_export.calibrate.certify import candidates, certify
from bskim_export.calibrate.counts import check_counts, draw
from bskim_export.calibrate.curve import measure_points, measured_points, trade_off
from bskim_export.calibrate.latency import CURVE_RUNS, WINDOWS, measure_price, measure_seconds
from bskim_export.calibrate.needed_blocks import occurrences
from bskim_export.calibrate.recipes import Recipe
from bskim_export.calibrate.record import Record, record, work_key
from bskim_export.calibrate.risk import check_size
from bskim_export.calibrate.simulate import Outcome, Simulator
from bskim_export.calibrate.store import fingerprint, remembered
from bskim_export.calibrate.summary import by_layer, compare
from bskim_export.calibrate.threshold_path import find_threshold_path
from bskim_export.calibrate.true_runs import agreement, run_truly
from bskim_export.data.question import Question
from bskim_export.errors import BundleError, InputError
from bskim_export.evaluate.loop import cut_windows
from bskim_export.runtime.pipeline import QAPipeline
from bskim_export.runtime.policy import Thresholds
from bskim_export.runtime.windows import Window

TIMED = 32
"""Questions over which points of the curve are timed."""

PRICED = 256
"""Questions among which those are chosen whose work is measured for a price."""

Progress = Callable[[str, int, int], None]
"""Called with a step's description, how much of it was just done, and the total."""

Choice = tuple[npt.NDArray[np.float64], dict[str, Any]]
"""Thresholds, float64 [L], and the evidence for them."""


class Session:
    """The threshold calibration of one bundle.

    Args:
        pipeline: the bundle; its own thresholds play no part
        questions: the whole data set, from which the recipe's numbers are drawn
        recipe: the goal and the draw
        work_dir: where finished work is kept
        machine: all that times depend on (backend, version, threads)
        progress: called as steps go on

    Attributes:
        calibration: the questions that thresholds are chosen on
        held_out: further questions, which are only reported on
        layers: the bundle's skim layers

    Raises:
        BundleError: the bundle has no predictors.
        InputError: the recipe's windows are longer than the bundle takes.
    """

    def __init__(
        self,
        pipeline: QAPipeline,
        questions: Sequence[Question],
        recipe: Recipe,
        work_dir: Path,
        machine: str,
        progress: Progress = lambda what, done, total: None,
    ):
        bundle = pipeline.bundle
        if not bundle.skim_layers:
            raise BundleError(
                "This bundle has no skim predictors, so it has no thresholds to calibrate: every block is computed. "
                "bskim-train --freeze gives a model some without changing its answers."
            )
        self._answerer = pipeline.answerer(pipeline.options(max_seq_len=recipe.max_seq_len))
        self._bundle = bundle
        self._machine = machine
        self._recipe = recipe
        self._root = work_dir
        self._progress = progress
        self.calibration, self.held_out = draw(questions, recipe)
        self._available = len(questions)
        self._price: dict[str, Any] | None = None
        self._records: dict[Path, Record] = {}
        self.layers = bundle.skim_layers
        self._block_size = bundle.model.block_size

    def calibrate(self) -> dict[str, Any]:
        """Choose thresholds and return the evidence; its "thresholds" are what the bundle should have.

        Raises:
            InputError: the recipe has no goal, a question cannot be run, none has an answer, or there are too few for
                anything or for the promised risk.
        """
        if self._recipe.max_f1_drop is None:
            self._risk()
        warnings = check_counts(self._available, len(self.calibration), len(self.held_out), self._recipe)
        if self._recipe.objective == "latency":
            self._price = self._measure_price()
        if self._recipe.max_f1_drop is not None:
            thresholds, evidence = self._within_budget(self._recipe.max_f1_drop)
        else:
            thresholds, evidence = self._at_risk(self._risk())
        if self.held_out:
            dense = self._run(self.held_out, "held-out", self._zero())
            outcome = self._run(self.held_out, "held-out", thresholds)
            evidence["held_out"] = compare(outcome, dense)
        return {
            "recipe": asdict(self._recipe),
            "options": asdict(self._answerer.options),
            "thresholds": by_layer(self.layers, thresholds),
            "machine": self._machine,
            "warnings": warnings,
            "price": self._price,
            **evidence,
        }

    def curve(self) -> dict[str, Any]:
        """Return the whole trade-off: simulated on the questions that thresholds are searched on, and true runs, timed,
        of a few points on the held-out ones, or on the former if there are none.

        Raises:
            InputError: a question cannot be run, or none has an answer.
        """
        simulator = self._simulator(self._searched())
        points = trade_off(simulator, find_threshold_path(simulator, dense_f1(simulator)))
        questions, name = (self.held_out, "held-out") if self.held_out else (self.calibration, "calibration")
        measured = measure_points(
            measured_points(points),
            partial(self._run, questions, name),
            self._run(questions, name, self._zero()),
            partial(self._seconds, questions[:TIMED]),
        )
        return {
            "model": self._bundle.model.source,
            "dataset": self._recipe.dataset,
            "simulated_on": simulator.record.questions,
            "measured_on": len(questions),
            "points": points,
            "measured": measured,
        }

    def losses(self, simulated: bool) -> tuple[npt.NDArray[np.bool_], list[npt.NDArray[np.float64]]]:
        """Find candidates on the calibration questions and run each over the held-out ones, for `check_splits`.

        Args:
            simulated: record the held-out questions once instead, and predict each candidate's losses

        Returns:
            bool [candidates, n], which of the held-out questions that need a block each candidate loses; thresholds.

        Raises:
            InputError: the recipe promises no risk, or there are too few questions for the promised one.
        """
        risk = self._risk()
        confidence = self._recipe.confidence
        needing = np.array([self._needs_a_block(q) for q in self.held_out])
        certifying = int(needing.sum()) // 4
        check_size(certifying, risk, confidence)
        found = candidates(self._simulator(self.calibration), certifying, risk, confidence)
        run = self._simulator(self.held_out).run if simulated else partial(self._run, self.held_out, "held-out")
        return np.array([run(t).lost[needing] for t in found]), found

    def _within_budget(self, max_f1_drop: float) -> Choice:
        """Choose the cheapest thresholds that cost at most so many points of F1."""
        simulator = self._simulator(self.calibration)
        middle = len(self.calibration) // 2
        halves = (
            Simulator(simulator.record.part(0, middle), simulator.model, simulator.price),
            Simulator(simulator.record.part(middle, len(self.calibration)), simulator.model, simulator.price),
        )
        run = partial(self._run, self.calibration, "calibration")
        dense = run(self._zero())
        budget = choose(simulator, halves, max_f1_drop, run, dense)
        thresholds = budget.path.thresholds[budget.point]
        return thresholds, {
            "calibration": compare(budget.confirmed, dense),
            "expected_f1_drop": budget.expected_drop,
            "expected_f1_drop_standard_error": budget.expected_error,
            "attempts": [
                {"thresholds": by_layer(self.layers, budget.path.thresholds[p]), "f1_drop_simulated": s, "f1_drop": t}
                for p, s, t in budget.attempts
            ],
            "simulation": agreement(simulator.run(thresholds), budget.confirmed),
        }

    def _at_risk(self, risk: float) -> Choice:
        """Choose the cheapest thresholds that are certified to lose at most this share of questions."""
        confidence = self._recipe.confidence
        # Candidates are found on one half of the questions and tested on the other.
        selection = self._searched()
        certification = self.calibration[len(selection) :]
        needing = sum(self._needs_a_block(q) for q in certification)
        check_size(needing, risk, confidence)
        found = candidates(self._simulator(selection), needing, risk, confidence)
        run = partial(self._run, certification, "certification")
        dense = run(self._zero())
        certified = certify(found, run, dense, needing, risk, confidence)
        return certified.thresholds, {
            "calibration": compare(certified.outcome, dense),
            "selection_questions": len(selection),
            "certification_questions": len(certification),
            "certification_questions_that_need_a_block": needing,
            "tested": [
                {"thresholds": by_layer(self.layers, t), "lost": lost, "p_value": p, "certified": p <= 1 - confidence}
                for t, lost, p in certified.tested
            ],
        }

    def _risk(self) -> float:
        if self._recipe.risk is None:
            raise InputError("The recipe has no goal: set max_f1_drop or risk.")
        return self._recipe.risk

    def _searched(self) -> list[Question]:
        """Return the questions that thresholds are searched on."""
        return self.calibration[: len(self.calibration) // 2] if self._recipe.risk else self.calibration

    def _zero(self) -> npt.NDArray[np.float64]:
        """Return the thresholds of the dense model, float64 [L]."""
        return np.zeros(len(self.layers))

    def _simulator(self, questions: Sequence[Question]) -> Simulator:
        price = np.array(self._price["seconds"]) if self._price else None
        return Simulator(self._record(questions), self._bundle.model, price)

    def _record(self, questions: Sequence[Question]) -> Record:
        folder = self._folder(questions)
        if folder not in self._records:
            step = partial(self._step, "Recording keep probabilities", len(questions))
            self._records[folder] = record(self._answerer, questions, folder, step)
        return self._records[folder]

    def _run(self, questions: Sequence[Question], name: str, thresholds: npt.NDArray[np.float64]) -> Outcome:
        what = f"Running {name} questions, {'skimmed' if thresholds.any() else 'dense'}"
        step = partial(self._step, what, len(questions))
        return run_truly(self._answerer, questions, thresholds, self._folder(questions), step)

    def _measure_price(self) -> dict[str, Any]:
        some = self.calibration[:PRICED]

        def measure() -> dict[str, Any]:
            step = partial(self._step, "Measuring what work costs", WINDOWS)
            windows = [self._windows(q) for q in some]
            return asdict(measure_price(self._answerer.runner, windows, self._recipe.seed, step))

        price: dict[str, Any] = remembered(self._folder(some) / f"price-{fingerprint(self._machine)}.json", measure)
        return price

    def _seconds(
        self, questions: Sequence[Question], thresholds: Sequence[npt.NDArray[np.float64]]
    ) -> npt.NDArray[np.float64]:
        policies = [Thresholds(by_layer(self.layers, t)) for t in thresholds]
        step = partial(self._step, "Timing points of the curve", CURVE_RUNS * len(questions))
        return measure_seconds(self._answerer, questions, policies, step)

    def _needs_a_block(self, question: Question) -> bool:
        return bool(occurrences(question, self._windows(question), self._block_size))

    def _windows(self, question: Question) -> list[Window]:
        return cut_windows(self._answerer, question)

    def _folder(self, questions: Sequence[Question]) -> Path:
        return self._root / work_key(self._bundle, questions, self._answerer.options)

    def _step(self, what: str, total: int, done: int) -> None:
        self._progress(what, done, total)
