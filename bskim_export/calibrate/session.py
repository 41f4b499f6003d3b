"""One calibration, from questions to thresholds and evidence. Every step that takes long is kept in a work directory,
so that the same call after a kill goes on where it was and ends with the same thresholds, bit for bit."""

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bskim_export.calibrate.budget import choose, dense_f1
from bskim_export.calibrate.certify import candidates, certify
from bskim_export.calibrate.curve import measure_points, measured_points, trade_off
from bskim_export.calibrate.latency import WINDOWS, measure_price, measure_seconds
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
from bskim_export.errors import BundleError
from bskim_export.evaluate.loop import cut_windows
from bskim_export.runtime.pipeline import QAPipeline
from bskim_export.runtime.policy import Thresholds
from bskim_export.runtime.windows import Window

TIMED = 32
"""Questions over which points of the curve are timed."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it was just done, and the total."""


class Session:
    """The calibration of one bundle.

    Args:
        pipeline: the bundle; its own thresholds play no part
        questions: the whole data set, from which the recipe's numbers are drawn
        recipe: the goal and the draw
        work_dir: where finished work is kept
        machine: all that times depend on (backend, version, threads)

    Raises:
        BundleError: the bundle has no predictors.
        InputError: the data set is too small for the goal.
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
                "This bundle has no skim predictors, so there is nothing to calibrate: every block is computed. "
                "bskim-train --freeze gives a model some without changing its answers."
            )
        self._answerer = pipeline.answerer(pipeline.options(max_seq_len=recipe.max_seq_len))
        self._bundle = bundle
        self._machine = machine
        self._recipe = recipe
        self._root = work_dir
        self._progress = progress
        self.calibration, self.held_out = draw(questions, recipe)
        self._price: dict[str, Any] | None = None
        self._records: dict[Path, Record] = {}
        self.layers = bundle.skim_layers
        self._block_size = bundle.model.block_size

    def calibrate(self) -> dict[str, Any]:
        """Choose thresholds and return the evidence; its "thresholds" are what the bundle should have.

        Raises:
            InputError: a question cannot be run, or there are too few for the promised risk.
        """
        if self._recipe.objective == "latency":
            self._price = self._measure_price()
        by_goal = self._within_budget if self._recipe.max_f1_drop is not None else self._at_risk
        thresholds, evidence = by_goal()
        if self.held_out:
            dense, outcome = (self._run(self.held_out, "held-out", t) for t in (0 * thresholds, thresholds))
            evidence["held_out"] = compare(outcome, dense)
        return {
            "recipe": asdict(self._recipe),
            "options": asdict(self._answerer.options),
            "thresholds": by_layer(self.layers, thresholds),
            "machine": self._machine,
            "price": self._price,
            **evidence,
        }

    def curve(self) -> dict[str, Any]:
        """Return the whole trade-off: simulated on the calibration questions, and true runs, timed, of a few points on
        the held-out ones, or on the calibration questions if there are none."""
        simulator = self._simulator(self._searched())
        points = trade_off(simulator, find_threshold_path(simulator, dense_f1(simulator)))
        questions, name = (self.held_out, "held-out") if self.held_out else (self.calibration, "calibration")
        zero = np.zeros(len(self.layers))
        measured = measure_points(
            measured_points(points),
            lambda t: self._run(questions, name, t),
            self._run(questions, name, zero),
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

    def losses(self, simulated: bool) -> tuple[np.ndarray, list[np.ndarray]]:
        """Find candidates on the calibration questions and run each over the held-out ones, for `check_splits`.

        Args:
            simulated: record the held-out questions once instead, and predict each candidate's losses

        Returns:
            bool [candidates, n], which of the held-out questions that need a block each candidate loses; thresholds.

        Raises:
            InputError: there are too few questions for the promised risk.
        """
        needs = np.array([bool(occurrences(q, self._windows(q), self._block_size)) for q in self.held_out])
        certifying = int(needs.sum()) // 4
        check_size(certifying, self._recipe.risk, self._recipe.confidence)
        simulator = self._simulator(self.calibration)
        found = candidates(simulator, certifying, self._recipe.risk, self._recipe.confidence)
        run = self._simulator(self.held_out).run if simulated else partial(self._run, self.held_out, "held-out")
        return np.array([run(t).lost[needs] for t in found]), found

    def _within_budget(self) -> tuple[np.ndarray, dict]:
        simulator = self._simulator(self.calibration)
        seen, half = simulator.record, len(self.calibration) // 2
        halves = tuple(
            Simulator(seen.part(*cut), simulator.model, simulator.price)
            for cut in ((0, half), (half, len(seen.windows)))
        )
        run = partial(self._run, self.calibration, "calibration")
        dense = run(np.zeros(len(self.layers)))
        budget = choose(simulator, halves, self._recipe.max_f1_drop, run, dense)
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

    def _at_risk(self) -> tuple[np.ndarray, dict]:
        risk, confidence = self._recipe.risk, self._recipe.confidence
        selection, certification = self._searched(), self.calibration[len(self.calibration) // 2 :]
        needing = sum(bool(occurrences(q, self._windows(q), self._block_size)) for q in certification)
        check_size(needing, risk, confidence)
        simulator = self._simulator(selection)
        run = partial(self._run, certification, "certification")
        dense = run(np.zeros(len(self.layers)))
        certified = certify(candidates(simulator, needing, risk, confidence), run, dense, needing, risk, confidence)
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

    def _searched(self) -> list[Question]:
        """Return the questions that thresholds are searched on."""
        return self.calibration[: len(self.calibration) // 2] if self._recipe.risk else self.calibration

    def _simulator(self, questions: Sequence[Question]) -> Simulator:
        price = np.array(self._price["seconds"]) if self._price else None
        return Simulator(self._record(questions), self._bundle.model, price)

    def _record(self, questions: Sequence[Question]) -> Record:
        folder = self._folder(questions)
        if folder not in self._records:
            step = partial(self._step, "Recording keep probabilities", len(questions))
            self._records[folder] = record(self._answerer, questions, folder, step)
        return self._records[folder]

    def _run(self, questions: Sequence[Question], name: str, thresholds: np.ndarray) -> Outcome:
        what = f"Running {name} questions, {'skimmed' if thresholds.any() else 'dense'}"
        step = partial(self._step, what, len(questions))
        folder = self._folder(questions)
        return run_truly(self._answerer, questions, thresholds, folder, step)

    def _measure_price(self) -> dict:
        def measure() -> dict:
            step = partial(self._step, "Measuring what work costs", WINDOWS)
            windows = [self._windows(q) for q in some]
            return asdict(measure_price(self._answerer.runner, windows, self._recipe.seed, step))

        some = self.calibration[:256]
        return remembered(self._folder(some) / f"price-{fingerprint(self._machine)}.json", measure)

    def _seconds(self, questions: Sequence[Question], thresholds: list[np.ndarray]) -> np.ndarray:
        policies = [Thresholds(dict(zip(self.layers, map(float, t), strict=True))) for t in thresholds]
        step = partial(self._step, "Timing points of the curve", len(questions))
        return measure_seconds(self._answerer, [self._windows(q) for q in questions], policies, step)

    def _windows(self, question: Question) -> list[Window]:
        return cut_windows(self._answerer, question)

    def _folder(self, questions: Sequence[Question]) -> Path:
        return self._root / work_key(self._bundle, questions, self._answerer.options)

    def _step(self, what: str, total: int, done: int) -> None:
        self._progress(what, done, total)


def draw(questions: Sequence[Question], recipe: Recipe) -> tuple[list[Question], list[Question]]:
    """Return calibration and held-out questions, drawn at random without replacement.

    A data set that is smaller than both together holds out a quarter at most.
    """
    total = min(len(questions), recipe.sample + recipe.held_out)
    held_out = recipe.held_out if total == recipe.sample + recipe.held_out else min(recipe.held_out, total // 4)
    drawn = random.Random(recipe.seed).sample(list(questions), total)
    cut = min(recipe.sample, total - held_out)
    return drawn[:cut], drawn[cut : cut + held_out]
