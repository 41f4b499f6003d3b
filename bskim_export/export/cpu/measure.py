"""Times what passed its proof: all trials, with all sets of predictors, take turns."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from bskim_export.data.question import Question
from bskim_export.evaluate.loop import Evaluated, evaluate
from bskim_export.evaluate.turns import time_in_turns
from bskim_export.export.cpu.points import dropped_blocks, nested_sets
from bskim_export.export.cpu.trial import Timed, Trial
from bskim_export.runtime.answering import Answerer
from bskim_export.runtime.policy import Thresholds

TURN = 8
"""Questions that are answered one way before it is the next one's turn: each has weights of its own in the caches."""
ENOUGH = 8
"""Questions of a kind from which on its sets of predictors are compared; a few say nothing of the others."""
REPEATS = 3
"""Runs of each question, of which the median counts, after one that warms up."""


def measure_trials(
    trials: Sequence[Trial],
    questions: Sequence[Question],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Fill `Trial.timed` of trials that have a pipeline.

    Args:
        questions: of one window or of several; the two kinds are measured apart, since thresholds are chosen apart.
            A kind with fewer than ENOUGH is left out, unless it is the larger one
    """
    answerers = {id(trial): _answerer(trial, questions) for trial in trials}
    first = answerers[id(trials[0])]
    kinds: dict[bool, list[Evaluated]] = {False: [], True: []}
    for one in evaluate(first, questions):
        kinds[len(one.windows) > 1].append(one)
    most = max(map(len, kinds.values()))
    kinds = {kind: own for kind, own in kinds.items() if len(own) >= min(ENOUGH, most)}
    total = (1 + REPEATS) * sum(map(len, kinds.values()))
    steps = iter(range(1, total + 1))
    progress(0, total)
    for kind, own in kinds.items():
        sets = nested_sets(dropped_blocks(own, first.suited(kind).scored_layers), first.runner.model.num_layers)
        ways = [(trial, layers) for trial in trials for layers in sets]
        variants = [_limited(answerers[id(trial)], layers) for trial, layers in ways]
        asked = [one.question for one in own]
        timings = time_in_turns(variants, asked, REPEATS, TURN, lambda: progress(next(steps), total), warm_up=True)
        for (trial, layers), timing in zip(ways, timings, strict=True):
            f1 = [100 * done.f1 for done in timing.done]
            trial.timed.setdefault(kind, {})[layers] = Timed(float(timing.seconds.sum()), f1)


def _answerer(trial: Trial, questions: Sequence[Question]) -> Answerer:
    assert trial.pipeline is not None
    impossible = any(not question.gold for question in questions)
    return trial.pipeline.answerer(trial.pipeline.options(handle_impossible_answer=impossible))


def _limited(answerer: Answerer, layers: Sequence[int]) -> Answerer:
    assert isinstance(answerer.policy, Thresholds)
    return replace(answerer, policy=answerer.policy.only(layers))
