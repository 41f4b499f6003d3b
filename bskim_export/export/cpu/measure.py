"""Times what passed its proof: trials take turns, and in each of them sets of predictors do."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from bskim_export.data.question import Question
from bskim_export.evaluate.loop import Evaluated, evaluate
from bskim_export.evaluate.timing import share_turns, take_turns
from bskim_export.export.cpu.points import dropped_blocks, nested_sets
from bskim_export.export.cpu.trial import Timed, Trial
from bskim_export.runtime.answering import Answerer
from bskim_export.runtime.policy import Thresholds

TURN = 8
"""Questions that a trial answers before it is the next one's turn: each has weights of its own in the caches."""
REPEATS = 3
"""Runs of each question, of which the median counts, after one that warms up."""


def measure_trials(
    trials: Sequence[Trial],
    questions: Sequence[Question],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Fill `Trial.timed` of trials that have a pipeline.

    Args:
        questions: of one window or of several; the two kinds are measured apart, since thresholds are chosen apart
    """
    answerers = {id(trial): _answerer(trial, questions) for trial in trials}
    first = answerers[id(trials[0])]
    seen = list(evaluate(first, questions))
    total = len(trials) * len(questions)
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        progress(count, total)

    progress(0, total)
    for kind in (False, True):
        own = [one for one in seen if (len(one.windows) > 1) is kind]
        if not own:
            continue
        model = first.runner.model
        sets = nested_sets(dropped_blocks(own, first.suited(kind).scored_layers), model.num_layers)
        for trial in trials:
            trial.timed[kind] = {layers: Timed() for layers in sets}
        for trial, some in share_turns(trials, [one.question for one in own], TURN, lambda: None):
            for question in some:
                _measure(answerers[id(trial)], question, trial.timed[kind])
                step()


def _answerer(trial: Trial, questions: Sequence[Question]) -> Answerer:
    assert trial.pipeline is not None
    impossible = any(not question.gold for question in questions)
    return trial.pipeline.answerer(trial.pipeline.options(handle_impossible_answer=impossible))


def _measure(answerer: Answerer, question: Question, sets: dict[tuple[int, ...], Timed]) -> None:
    """Add one question, its time and F1, to each set."""
    assert isinstance(answerer.policy, Thresholds)
    variants = [(layers, replace(answerer, policy=answerer.policy.only(layers))) for layers in sets]
    runs: dict[tuple[int, ...], list[Evaluated]] = {layers: [] for layers in sets}
    for repeat in range(1 + REPEATS):
        for layers, variant in take_turns(variants, repeat):
            runs[layers] += evaluate(variant, [question])
    for layers, done in runs.items():
        sets[layers].questions += 1
        sets[layers].seconds += float(np.median([one.seconds for one in done[1:]]))
        sets[layers].f1 += 100 * done[0].f1
