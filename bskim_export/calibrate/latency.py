"""The price of work on this machine, in seconds: measured runs, and a price per unit of work fitted to them.

Skimming costs fixed time for every stage and predictor that runs, whatever it drops. MACs do not see that; this does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from bskim_export.calibrate.workload import workload
from bskim_export.data.question import Question
from bskim_export.evaluate.timing import interleaved
from bskim_export.evaluate.turns import time_in_turns
from bskim_export.runtime.answering import Answerer
from bskim_export.runtime.policy import KeepSchedule, Policy
from bskim_export.runtime.runner import Runner, WindowResult
from bskim_export.runtime.windows import Window

WINDOWS = 8
"""Questions that are measured, of various lengths."""

PATTERNS = 12
"""Imposed patterns that each of them is run under, beside the dense model."""

REPEATS = 5
"""Runs of each of both, of which the median counts."""

CURVE_RUNS = 4
"""The same where points of a curve are timed; the first one warms up."""

TURN = 8
"""Questions that one point of the curve answers before it is the next one's turn."""


@dataclass(frozen=True)
class Price:
    """Seconds per unit of work, and how well they explain the measured times.

    seconds: per unit of each of `workload.FEATURES`
    error: the median relative error of the fit
    """

    seconds: list[float]
    error: float


class Imposed(KeepSchedule):
    """A keep schedule of which only some layers' predictors run.

    Args:
        shares: see KeepSchedule
        layers: whose predictors run
    """

    def __init__(self, shares: Sequence[float], layers: Sequence[int]):
        super().__init__(shares)
        self.layers = frozenset(layers)

    def scores(self, layer: int) -> bool:
        """Return whether this layer's predictor runs."""
        return layer in self.layers


def measure_price(
    runner: Runner,
    questions: Sequence[Sequence[Window]],
    seed: int,
    progress: Callable[[int], None] = lambda done: None,
) -> Price:
    """Run a few questions of various lengths under various imposed patterns, in turns, and fit a price to the medians.

    Args:
        questions: the windows of each of many questions; those measured are spread over their lengths
        seed: of the patterns
        progress: called with 1 for each of WINDOWS questions
    """
    by_length = sorted(questions, key=lambda own: sum(len(w.input_ids) for w in own))
    chosen = [by_length[i] for i in np.linspace(0, len(by_length) - 1, WINDOWS).astype(int)]
    policies: list[Imposed | None] = [None, *_patterns(runner, seed)]
    work: list[npt.NDArray[np.float64]] = []
    seconds: list[float] = []
    for own in chosen:
        runs = [partial(runner.run, own, policy) for policy in policies]
        seconds += np.median(interleaved(runs, REPEATS), axis=0).tolist()
        work += [_work(runner, own, run(), policy) for run, policy in zip(runs, policies, strict=True)]
        progress(1)
    done = np.array(work)
    measured = np.array(seconds)
    price = fit(done, measured)
    return Price(price.tolist(), float(np.median(np.abs(done @ price / measured - 1))))


def measure_seconds(
    answerer: Answerer,
    questions: Sequence[Question],
    policies: Sequence[Policy],
    progress: Callable[[int], None] = lambda done: None,
) -> npt.NDArray[np.float64]:
    """Return seconds per question of each policy, from text to answers, float64 [policies]: questions alone, policies
    in turns, medians.

    Args:
        answerer: whose runner and options are used, not its policy
        progress: called with 1 for each of CURVE_RUNS runs of each question
    """
    answerers = [replace(answerer, policy=policy) for policy in policies]
    timings = time_in_turns(answerers, questions, CURVE_RUNS - 1, TURN, lambda: progress(1), warm_up=True)
    return np.array([timing.seconds.mean() for timing in timings])


def fit(work: npt.NDArray[np.float64], seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the prices, none below 0, with the least squared relative error: float64 [features].

    Args:
        work: float64 [n, features]
        seconds: float64 [n]

    Example:
        >>> fit(np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 4.0]]), np.array([3.0, 5.0, 9.0])).round(6).tolist()
        [1.0, 2.0]
    """
    # Each run explains 1: then all count alike, short ones and long ones.
    relative = work / seconds[:, None]
    price = np.zeros(work.shape[1])
    active = list(range(work.shape[1]))
    # Least squares; the feature with the most negative price is left out until none is negative.
    while active:
        values = np.linalg.lstsq(relative[:, active], np.ones(len(seconds)), rcond=None)[0]
        if values.min() >= 0:
            price[active] = values
            break
        active.pop(int(values.argmin()))
    return price


def _patterns(runner: Runner, seed: int) -> list[Imposed]:
    """Return PATTERNS patterns: 1 to all predictors run, and two of three patterns drop blocks as well."""
    random = np.random.default_rng(seed)
    layers = runner.skim_layers
    depth = runner.model.num_layers
    patterns = []
    for n in range(PATTERNS):
        scored = random.choice(layers, size=1 + n % len(layers), replace=False)
        shares = np.sort(random.uniform(0.05, 1, depth))[::-1] if n % 3 else np.ones(depth)
        patterns.append(Imposed(shares.tolist(), scored.tolist()))
    return patterns


def _work(
    runner: Runner, windows: Sequence[Window], results: Sequence[WindowResult], policy: Imposed | None
) -> npt.NDArray[np.float64]:
    """Return the `workload.FEATURES`, float64 [6], of one question's run."""
    layers = runner.skim_layers
    # Blocks of each window before the first skim point and after each, int64 [L + 1, W].
    after = [np.array([(r.dropped_after > layer).sum() for r in results]) for layer in layers]
    live = np.array([[len(r.dropped_after) for r in results], *after])
    scored = np.array([policy is not None and policy.scores(layer) for layer in layers])
    protected = np.array([w.unjudged_blocks for w in windows])
    features: npt.NDArray[np.float64] = workload(runner.model, layers, live, protected, scored, np.array([0]))[0]
    return features
