"""Questions answered dense and skimming, side by side, and all that a page about them shows.

`view_page` writes the page itself.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bskim_export.bench.rows import TURN
from bskim_export.data.question import Question
from bskim_export.evaluate.loop import Evaluated, padded_macs
from bskim_export.evaluate.paired import Answers, answer_all, bootstrap, figures
from bskim_export.evaluate.turns import time_in_turns
from bskim_export.runtime.answering import Answerer
from bskim_export.runtime.policy import Thresholds
from bskim_export.runtime.skipped import SkippedTokens

AT_ONCE = 8 * TURN
"""Questions whose windows and logits are in memory at the same time."""
SLOWEST = 20
"""Questions that are listed for their time."""
CURVE_QUESTIONS = 200
"""Questions that the points of the curve are run on, at most."""
FACTORS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""What the odds of all thresholds are multiplied by, for the points of the curve. 1 is the bundle as it is."""


@dataclass(frozen=True)
class Way:
    """How a question was answered one way.

    text, start, end: the best answer, and its characters [start, end) of the context; of no answer both are 0
    em, f1: 0 to 1
    macs: multiply-accumulates
    macs_padded: of the dense model over the same windows padded to 512 positions
    seconds: from text to answer, alone; the median of its runs
    """

    text: str
    start: int
    end: int
    em: float
    f1: float
    macs: int
    macs_padded: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Both:
    """A question that was answered both ways, and what skimming read of it.

    kept: int64 [layers], blocks that each layer left, all windows together
    blocks: of all windows
    windows, left: how many there are, and how many of them left on the way
    skipped: start, end and layer of each skimmed range of the context, one after the other
    """

    question: Question
    dense: Way
    skim: Way
    kept: npt.NDArray[np.int64]
    blocks: int
    windows: int
    left: int
    skipped: list[int]

    @property
    def kept_share(self) -> float:
        """Return the share of blocks that were kept, a mean over layers."""
        return float(self.kept.mean() / self.blocks)

    @property
    def lost(self) -> bool:
        """Return whether the dense model is right and skimming is not."""
        return self.dense.em > self.skim.em

    @property
    def f1_loss(self) -> float:
        """Return by how much F1 is lower when skimming, -1 to 1."""
        return self.dense.f1 - self.skim.f1


def answer_both(
    answerer: Answerer, questions: Sequence[Question], progress: Callable[[], None] = lambda: None, repeats: int = 1
) -> Iterator[Both]:
    """Answer questions one at a time, dense and skimming in turns, in order.

    Args:
        answerer: that skims; the dense model is the same without thresholds
        progress: called for each question of each run
        repeats: runs of each question, of which the median counts as its time

    Raises:
        InputError: a question cannot be run; the message names its id.
    """
    dense = replace(answerer, policy=Thresholds({}))
    for first in range(0, len(questions), AT_ONCE):
        part = questions[first : first + AT_ONCE]
        timed = time_in_turns([dense, answerer], part, repeats, TURN, progress)
        seconds = [one.seconds.tolist() for one in timed]
        for whole, own, *took in zip(*(one.done for one in timed), *seconds, strict=True):
            yield _both(whole, own, answerer, *took)


def _both(whole: Evaluated, own: Evaluated, answerer: Answerer, dense_seconds: float, skim_seconds: float) -> Both:
    skipped = SkippedTokens(answerer.runner.model.block_size)
    for number, (window, result) in enumerate(zip(own.windows, own.results, strict=True)):
        skipped.note(number, window, result)
    return Both(
        question=own.question,
        dense=_way(whole, answerer, dense_seconds),
        skim=_way(own, answerer, skim_seconds),
        kept=own.kept,
        blocks=own.blocks,
        windows=len(own.windows),
        left=sum((result.earlier or result).left for result in own.results),
        skipped=[number for r in skipped.ranges() for number in (r["start"], r["end"], r["layer"])],
    )


def _way(done: Evaluated, answerer: Answerer, seconds: float) -> Way:
    best = done.answers[0]
    macs_padded = padded_macs(done, answerer)
    return Way(done.text, best["start"], best["end"], done.em, done.f1, done.macs, macs_padded, seconds)


def summarise(rows: Sequence[Both]) -> dict[str, Any]:
    """Return the figures over all questions.

    Returns:
        parts: as `bskim compare` has them
        em_difference, em_interval: the same for EM as its `f1_difference` and `interval`
        seconds: of all questions, by way
        kept_blocks: of each layer, the share of blocks that it left
        windows, left: how many there are, and how many left
    """
    ways = {"dense": [r.dense for r in rows], "skim": [r.skim for r in rows]}
    answers = {name: _answers(found) for name, found in ways.items()}
    em = 100 * (answers["skim"].em - answers["dense"].em)
    return {
        "parts": figures([r.question for r in rows], answers),
        "em_difference": float(em.mean()),
        "em_interval": bootstrap(em),
        "seconds": {name: sum(way.seconds for way in found) for name, found in ways.items()},
        "kept_blocks": (np.sum([r.kept for r in rows], axis=0) / sum(r.blocks for r in rows)).tolist(),
        "windows": sum(r.windows for r in rows),
        "left": sum(r.left for r in rows),
    }


def _answers(ways: Sequence[Way]) -> Answers:
    columns = [np.array([getattr(way, name) for way in ways]) for name in ("em", "f1", "macs", "macs_padded")]
    return Answers([way.text for way in ways], *columns)


def curve(
    answerer: Answerer,
    rows: Sequence[Both],
    progress: Callable[[int], None] = lambda done: None,
    seed: int = 42,
) -> dict[str, Any] | None:
    """Return F1 and MACs at several thresholds: true runs, over some of the questions.

    Args:
        answerer: that skims
        rows: the questions, answered; the points of no threshold and of the bundle's own are taken from there
        progress: called with the number of questions that were just done; `curve_runs` says how many there will be
        seed: of the draw of the questions

    Returns:
        questions: how many there are
        points: factor (0 for dense), f1 (0 to 100), gmacs per question; the dense one first
        None if nothing is skimmed, so that there is no curve.
    """
    policy = answerer.policy
    if not isinstance(policy, Thresholds) or not curve_runs(answerer, rows):
        return None
    some = random.Random(seed).sample(rows, min(len(rows), CURVE_QUESTIONS))
    points = [_point(0.0, _answers([r.dense for r in some]))]
    for factor in FACTORS:
        if factor == 1:
            found = _answers([r.skim for r in some])
        else:
            found = answer_all(replace(answerer, policy=scaled(policy, factor)), [r.question for r in some], progress)
        points.append(_point(factor, found))
    return {"questions": len(some), "points": points}


def curve_runs(answerer: Answerer, questions: Sequence[object]) -> int:
    """Return how many questions `curve` will run, all points together; 0 if nothing is skimmed."""
    if not (answerer.scored_layers or answerer.suited(document=True).scored_layers):
        return 0
    return (len(FACTORS) - 1) * min(len(questions), CURVE_QUESTIONS)


def _point(factor: float, found: Answers) -> dict[str, float]:
    return {"factor": factor, "f1": 100 * float(found.f1.mean()), "gmacs": float(found.macs.mean()) / 1e9}


def scaled(policy: Thresholds, factor: float) -> Thresholds:
    """Return thresholds whose odds are multiplied by a factor. Those that are 0 stay 0.

    Example:
        >>> scaled(Thresholds({0: 0.2, 1: 0.0}), 4).by_layer
        {0: 0.5, 1: 0.0}
    """
    sets = policy.by_layer, policy.for_documents.by_layer
    return Thresholds(*({i: factor * t / (1 - t + factor * t) for i, t in one.items()} for one in sets))


def in_order(rows: Sequence[Both]) -> list[tuple[str, Both]]:
    """Return the questions in the order in which they are worth a look, each with the name of its group.

    "lost": right when dense and wrong when skimming, the largest loss of F1 first. "slow": the slowest of the others.
    "rest": all others, again by their loss of F1.
    """
    lost = sorted((r for r in rows if r.lost), key=lambda r: -r.f1_loss)
    others = sorted((r for r in rows if not r.lost), key=lambda r: -r.skim.seconds)
    rest = sorted(others[SLOWEST:], key=lambda r: -r.f1_loss)
    groups = {"lost": lost, "slow": others[:SLOWEST], "rest": rest}
    return [(name, row) for name, own in groups.items() for row in own]
