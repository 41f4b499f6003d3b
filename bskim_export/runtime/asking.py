"""Many questions, or one of many windows: some batches at a time, so that memory is bounded by a part of them."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVarTuple

from bskim_export.errors import InputError
from bskim_export.runtime.answering import Answerer
from bskim_export.runtime.arguments import Call, Example
from bskim_export.runtime.asked import Asked, Passage, read_passages
from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.scoring import Answer
from bskim_export.runtime.skipped import Skipped
from bskim_export.runtime.windows import Window

TOGETHER = 64
"""Batches of windows that are cut, run and answered together. Windows of like length share a batch among them."""

LONG_LIST = 100
"""From so many questions on, progress is shown."""

_Rest = TypeVarTuple("_Rest")


def new_asked(answerer: Answerer, item: Example | InputError, return_skim: bool = False) -> Asked | InputError:
    """Return what is asked by one question of a call, or the error in its place."""
    if isinstance(item, InputError):
        return item
    joint = item.passages is not None
    passages = read_passages(item.passages) if item.passages is not None else [Passage(item.context)]
    return Asked(answerer, item.question, passages, joint, return_skim)


class Done(Protocol):
    """A question that is done: an `Asked`, or a `prepared.asking.PreparedAsked`."""

    return_skim: bool
    seconds: float

    @property
    def options(self) -> RunOptions:
        """Return the settings of its run."""

    @property
    def count(self) -> int:
        """Return how many windows there were."""

    def answers(self) -> list[Answer]:
        """Return the answers, best first."""

    def skipped(self) -> list[Skipped]:
        """Return what was skimmed."""

    def kept_share(self) -> float:
        """Return the share of the work of all layers on passage blocks that was done."""


def result_of(asked: Done, return_stats: bool = False) -> Answer | list[Answer]:
    """Return the answers of a question that is done as `QAPipeline.run` does: a list if several were asked for."""
    answers = asked.answers()
    skipped = asked.skipped() if asked.return_skim else []
    for answer in answers:
        if asked.return_skim:
            answer["skipped"] = skipped
        if return_stats:
            answer["stats"] = {"seconds": asked.seconds, "windows": asked.count, "kept_share": asked.kept_share()}
    return answers if asked.options.top_k > 1 else answers[0]


def ask_all(answerer: Answerer, questions: Iterable[Asked | InputError]) -> Iterator[Asked | InputError]:
    """Run questions, and yield each when it is done, in order; or the error that it met, in its place.

    Questions are read as they are needed, some batches ahead.

    Args:
        questions: new ones, and errors in the place of those that cannot be read
    """
    most = TOGETHER * answerer.options.batch_size
    waiting: list[Asked | InputError] = []
    pending: list[tuple[Asked, int, Window]] = []
    for one in questions:
        if isinstance(one, InputError):
            waiting.append(one)
            continue
        try:
            for number, window in enumerate(one.cut()):
                pending.append((one, number, window))
                if len(pending) >= most:
                    _run(answerer, pending)
                    yield from _finished(answerer, waiting)
                    waiting = []
                    pending = []
            waiting.append(one)
        except InputError as error:
            pending = [entry for entry in pending if entry[0] is not one]
            waiting.append(error)
    _run(answerer, pending)
    yield from _finished(answerer, waiting)


def _by_kind(
    answerer: Answerer, entries: Sequence[tuple[Asked, *_Rest]]
) -> Iterator[tuple[Answerer, bool, list[tuple[Asked, *_Rest]]]]:
    """Yield the entries of each kind of question, with the answerer that suits it and whether they are bounded."""
    for document, bounded in ((False, False), (True, False), (True, True)):
        own = [one for one in entries if (one[0].document, one[0].bounded) == (document, bounded)]
        if own:
            yield answerer.suited(document), bounded, own


def _run(answerer: Answerer, pending: Sequence[tuple[Asked, int, Window]]) -> None:
    start = time.perf_counter()
    for suited, bounded, own in _by_kind(answerer, pending):
        results = (suited.scouting() if bounded else suited).run([window for _, _, window in own])
        for (asked, number, window), result in zip(own, results, strict=True):
            asked.note(number, window, result)
    _share_time(start, pending)


def _finished(answerer: Answerer, waiting: Sequence[Asked | InputError]) -> Iterator[Asked | InputError]:
    """Run windows once more where that is needed, and yield the questions."""
    start = time.perf_counter()
    again = [(asked, one) for asked in waiting if isinstance(asked, Asked) for one in asked.again()]
    for suited, _, own in _by_kind(answerer, again):
        chosen = [one.chosen for _, one in own if one.chosen is not None]
        results = suited.run([one.window for _, one in own], [one.protected for _, one in own], chosen or None)
        for (asked, one), result in zip(own, results, strict=True):
            asked.note_again(one, result)
    _share_time(start, again)
    yield from waiting


def _share_time(start: float, entries: Sequence[tuple[Asked, *_Rest]]) -> None:
    """Add the time since `start` to every question: each waited for all."""
    seconds = time.perf_counter() - start
    for asked in {id(asked): asked for asked, *_ in entries}.values():
        asked.seconds += seconds


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
