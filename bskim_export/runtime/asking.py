"""Many questions, some batches at a time: memory is bounded by a part of them, and each one's error keeps its place."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from bskim_export.errors import InputError
from bskim_export.runtime.answering import Answerer
from bskim_export.runtime.arguments import Call, Example
from bskim_export.runtime.highlight import skipped_ranges
from bskim_export.runtime.runner import WindowResult
from bskim_export.runtime.scoring import Answer
from bskim_export.runtime.windows import Window

TOGETHER = 64
"""Batches of windows that are cut, run and answered together. Windows of like length share a batch among them."""

LONG_LIST = 100
"""From so many questions on, progress is shown."""

Cut = tuple[Example, list[Window]]


def answer_each(
    answerer: Answerer,
    examples: Iterable[Example | InputError],
    *,
    return_skim: bool = False,
    return_stats: bool = False,
    progress: Callable[[], object] = lambda: None,
) -> Iterator[list[Answer] | InputError]:
    """Yield the answers of each question, best first, or the error that it met.

    Questions are read as they are needed, some batches ahead.

    Args:
        examples: questions, and errors in the place of those that cannot be read
        return_skim: add "skipped" to each answer
        return_stats: add "stats" to each answer
        progress: called after each question
    """
    for part in _parts(answerer, examples):
        start = time.perf_counter()
        outcomes = iter(answerer.run([one[1] for one in part if not isinstance(one, InputError)]))
        seconds = time.perf_counter() - start
        for one in part:
            progress()
            if isinstance(one, InputError):
                yield one
                continue
            example, windows = one
            results = next(outcomes)
            answers = answerer.decode(example.context, windows, results)
            model = answerer.runner.model
            if return_skim:
                skipped = skipped_ranges(windows, results, model.block_size)
                for answer in answers:
                    answer["skipped"] = skipped
            if return_stats:
                share = kept_share(windows, results, model.num_layers)
                for answer in answers:
                    answer["stats"] = {"seconds": seconds, "windows": len(windows), "kept_share": share}
            yield answers


def kept_share(windows: Sequence[Window], results: Sequence[WindowResult], num_layers: int) -> float:
    """Return the share of the work of all layers on passage blocks that was done; a second run counts on top."""
    done = 0
    whole = 0
    for window, result in zip(windows, results, strict=True):
        for run in (result, result.earlier):
            if run is not None:
                layers = run.dropped_after[window.question_blocks :].astype(np.int64) + 1
                done += int(np.minimum(layers, num_layers).sum())  # a block that was never dropped has a large number
        whole += (len(result.dropped_after) - window.question_blocks) * num_layers
    return done / whole if whole else 1.0


def _parts(answerer: Answerer, examples: Iterable[Example | InputError]) -> Iterator[list[Cut | InputError]]:
    """Yield questions with their windows, so many that they fill the batches of a part."""
    part: list[Cut | InputError] = []
    waiting = 0
    for example in examples:
        if isinstance(example, InputError):
            part.append(example)
            continue
        try:
            windows = answerer.windows(example.question, example.context)
        except InputError as error:
            part.append(error)
            continue
        part.append((example, windows))
        waiting += len(windows)
        if waiting >= TOGETHER * answerer.options.batch_size:
            yield part
            part = []
            waiting = 0
    if part:
        yield part


@contextmanager
def shown_progress(call: Call, wanted: bool | None) -> Iterator[Callable[[], object]]:
    """Yield a function to be called after each question.

    Args:
        wanted: show a bar on standard error; None shows it for long lists, on a terminal
    """
    if wanted is None:
        wanted = call.several and (call.total or 0) >= LONG_LIST and sys.stderr is not None and sys.stderr.isatty()
    if not wanted:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress

    with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("Answering", total=call.total)
        yield lambda: bar.advance(task)
