"""The calibration of a split model: how many blocks a question reads, and what the predictors above the split drop.

Both are one choice, for they save the same work. So a few numbers of blocks are combined with a few thresholds, and
each combination is run truly over the same questions. The cheapest one within the budget of F1 is taken.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bskim_export.bundle.bundle import Bundle
from bskim_export.calibrate.counts import check_counts, draw
from bskim_export.calibrate.recipes import Recipe
from bskim_export.calibrate.record import work_key
from bskim_export.calibrate.store import Arrays, fingerprint, shards
from bskim_export.calibrate.summary import by_layer, standard_error
from bskim_export.data.metrics import exact_match, f1
from bskim_export.data.question import Question
from bskim_export.errors import InputError
from bskim_export.evaluate.macs import window_macs
from bskim_export.evaluate.retrieval import with_answer
from bskim_export.runtime.asked import Passage
from bskim_export.runtime.pipeline import QAPipeline
from bskim_export.runtime.policy import KeepSchedule, Policy, Thresholds
from bskim_export.runtime.prepared.asking import PreparedAsked, SplitAnswerer
from bskim_export.runtime.prepared.collection import Collection
from bskim_export.runtime.runner import NOT_JUDGED

BLOCKS = (3, 5, 8, 11, 14, 28)
"""Numbers of blocks that are tried."""
LOST = (0.005, 0.02, 0.05)
"""Thresholds that are tried, by the share of answers that each layer loses at them."""
Progress = Callable[[str, int, int], None]
"""Called with a step's description, how much of it was just done, and the total."""


@dataclass(frozen=True)
class Setting:
    """Blocks that a question reads, and the threshold of each layer that has a predictor; at 0 it does not run."""

    max_blocks: int
    thresholds: tuple[float, ...]

    def policy(self, layers: Sequence[int]) -> Policy | None:
        """Return what drops blocks."""
        return Thresholds(dict(zip(layers, self.thresholds, strict=True))) if any(self.thresholds) else None


class SplitSession:
    """The calibration of one split bundle.

    Args:
        pipeline: the bundle; its own thresholds and number of blocks play no part
        questions: the whole data set, from which the recipe's numbers are drawn
        recipe: the draw, and the budget, `max_f1_drop`
        work_dir: where finished work is kept
        machine: what runs it, for the evidence
        progress: called as steps go on

    Raises:
        BundleError: the model is not split.
        InputError: the recipe has what only other models can be calibrated for.
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
        if recipe.max_f1_drop is None or recipe.objective != "macs" or recipe.max_seq_len is not None:
            raise InputError(
                "A split model is calibrated for --max-f1-drop only, and for MACs: pass no --risk, no --objective "
                "latency and no --max-seq-len."
            )
        self._pipeline = pipeline
        self._answerer = pipeline.split_answerer()
        self._bundle: Bundle = pipeline.bundle
        self._recipe = recipe
        self._budget = recipe.max_f1_drop
        self._root = work_dir
        self._machine = machine
        self._progress = progress
        self._available = len(questions)
        self.calibration, self.held_out = (in_order(part) for part in draw(questions, recipe))
        self.layers = self._bundle.skim_layers

    def calibrate(self) -> dict[str, Any]:
        """Choose, and return the evidence; its "max_blocks" and "thresholds" are what the bundle should have.

        Raises:
            InputError: a question cannot be run, or there are too few for anything.
        """
        warnings = check_counts(self._available, len(self.calibration), len(self.held_out), self._recipe)
        nothing = (0.0,) * len(self.layers)
        every = Setting(BLOCKS[-1], nothing)
        probability = self._probabilities(every)
        settings = [Setting(n, t) for n in BLOCKS for t in (nothing, *thresholds_tried(probability))]
        tried = self._run(self.calibration, "calibration", settings)
        full = settings.index(every)
        drop = 100 * (tried["f1"][:, [full]] - tried["f1"])
        cost = tried["macs"].mean(0)
        able = np.flatnonzero(drop.mean(0) <= self._budget)
        best = int(able[cost[able].argmin()])
        chosen = settings[best]
        evidence: dict[str, Any] = {
            "recipe": asdict(self._recipe),
            "options": asdict(self._answerer.upper.options),
            "machine": self._machine,
            "warnings": warnings,
            "max_blocks": chosen.max_blocks,
            "thresholds": by_layer(self.layers, np.array(chosen.thresholds)),
            "chosen": best,
            "tried": [
                {"max_blocks": s.max_blocks, "thresholds": by_layer(self.layers, np.array(s.thresholds)), **row}
                for s, row in zip(settings, _rows(tried, full), strict=True)
            ],
        }
        if self.held_out:
            both = self._run(self.held_out, "held-out", [every, chosen])
            evidence["held_out"] = {"questions": len(self.held_out), "rows": _rows(both, 0)}
        return evidence

    def _probabilities(self, setting: Setting) -> npt.NDArray[np.float64]:
        """Return what the predictors say of each question's best block with an answer, float64 [Q, L]; NaN where none
        was read."""
        if not self.layers:
            return np.zeros((0, 0))
        answerer = self._at(setting.max_blocks, KeepSchedule([1.0]))

        def compute(part: Sequence[Question]) -> Mapping[str, npt.NDArray[Any]]:
            found = np.full((len(part), len(self.layers)), np.nan)
            for i, (question, one) in enumerate(self._ask(part, [answerer])):
                positive = with_answer(one.collection, question).astype(bool)
                for reading, result in zip(one.readings, one.results, strict=True):
                    own = result.probabilities[:, reading.window.question_blocks :][:, positive[reading.blocks]]
                    if own.shape[1]:  # what is not judged stays
                        found[i] = np.fmax(found[i], np.where(own == NOT_JUDGED, np.inf, own).max(1))
            return {"probability": found}

        what = "Recording keep probabilities"
        parts = self._shards(self.calibration, f"probabilities-{setting.max_blocks}", what, compute)
        return np.concatenate([part["probability"] for part in parts])

    def _run(self, questions: Sequence[Question], name: str, settings: Sequence[Setting]) -> Arrays:
        """Return em, f1 and macs of each question at each setting, [Q, settings]."""
        ways = [self._at(one.max_blocks, one.policy(self.layers)) for one in settings]
        model, split = self._bundle.model, self._answerer.split

        def compute(part: Sequence[Question]) -> Mapping[str, npt.NDArray[Any]]:
            rows = []
            for question, one in self._ask(part, ways):
                text = one.answers()[0]["answer"]
                scored = one.answerer.upper.scored_layers
                macs = sum(
                    window_macs(model, result, reading.window.unjudged_blocks, scored, split.layer)
                    for reading, result in zip(one.readings, one.results, strict=True)
                )
                rows.append((exact_match(text, question.gold), f1(text, question.gold), macs))
            found = np.array(rows, np.float64).reshape(len(part), len(ways), 3)
            return {"em": found[..., 0], "f1": found[..., 1], "macs": found[..., 2]}

        key = fingerprint([asdict(one) for one in settings])
        parts = list(self._shards(questions, f"run-{key}", f"Running {name} questions", compute))
        return {name: np.concatenate([part[name] for part in parts]) for name in ("em", "f1", "macs")}

    def _shards(
        self,
        questions: Sequence[Question],
        name: str,
        what: str,
        compute: Callable[[Sequence[Question]], Mapping[str, npt.NDArray[Any]]],
    ) -> Iterator[Arrays]:
        folder = self._root / work_key(self._bundle, questions, self._answerer.upper.options) / name
        step = partial(self._progress, what)
        for done, arrays in shards(folder, questions, compute):
            step(done, len(questions))
            yield arrays

    def _at(self, max_blocks: int, policy: Policy | None) -> SplitAnswerer:
        upper = self._answerer.upper
        options = replace(upper.options, max_blocks=max_blocks)
        return replace(self._answerer, upper=replace(upper, options=options, policy=policy))

    def _ask(
        self, questions: Sequence[Question], ways: Sequence[SplitAnswerer]
    ) -> Iterator[tuple[Question, PreparedAsked]]:
        """Yield each question as each way answers it: all ways of one, then those of the next."""
        for start, stop in groups(questions):
            own = questions[start:stop]
            passages = [Passage(own[0].context)]
            collection = Collection([self._answerer.prepare(passages, joint=False)], self._answerer.identity)
            done = [way.ask([(q.question, collection) for q in own]) for way in ways]
            for i, question in enumerate(own):
                for of_way in done:
                    one = of_way[i]
                    if isinstance(one, InputError):
                        raise InputError(f"Question '{question.id}': {one}")
                    yield question, one


def thresholds_tried(probability: npt.NDArray[np.float64]) -> list[tuple[float, ...]]:
    """Return sets of thresholds, at which each layer by itself loses so many of the answers that were read.

    Args:
        probability: float64 [Q, L], of each question's best block with an answer; NaN where none was read

    Example:
        >>> thresholds_tried(np.arange(1, 202)[:, None] / 250)
        [(0.008,), (0.02,), (0.044,)]
    """
    read = probability[~np.isnan(probability).any(1)] if probability.size else np.zeros((0, 0))
    if not len(read):
        return []
    found = [tuple(np.minimum(np.quantile(read, share, axis=0, method="lower"), 1).tolist()) for share in LOST]
    return [one for i, one in enumerate(found) if any(one) and one not in found[:i]]


def in_order(questions: Sequence[Question]) -> list[Question]:
    """Return questions with those of one context behind each other, so that it is prepared once."""
    first = {context: i for i, context in enumerate(dict.fromkeys(q.context for q in questions))}
    return sorted(questions, key=lambda q: first[q.context])


def groups(questions: Sequence[Question]) -> Iterator[tuple[int, int]]:
    """Yield where questions of one context begin and end."""
    start = 0
    for i in range(1, len(questions) + 1):
        if i == len(questions) or questions[i].context != questions[start].context:
            yield start, i
            start = i


def _rows(tried: Arrays, full: int) -> list[dict[str, float]]:
    """Return the figures of each setting, compared with the one that reads most."""
    drop = 100 * (tried["f1"][:, [full]] - tried["f1"])
    return [
        {
            "em": 100 * float(tried["em"][:, i].mean()),
            "f1": 100 * float(tried["f1"][:, i].mean()),
            "f1_drop": float(drop[:, i].mean()),
            "f1_drop_standard_error": 0.0 if i == full else standard_error(drop[:, i]),
            "gmacs_per_question": float(tried["macs"][:, i].mean() / 1e9),
            "speedup_macs": float(tried["macs"][:, full].sum() / tried["macs"][:, i].sum()),
        }
        for i in range(drop.shape[1])
    ]
