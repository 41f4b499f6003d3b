"""Where the time of a question goes, from text to answer."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from typing import Any, cast

import numpy.typing as npt
from tokenizers import Tokenizer

from bskim_export.backends.base import Backend, Engine
from bskim_export.backends.onnxruntime_profile import NodeTime, ProfilingBackend
from bskim_export.bench.rows import TURN
from bskim_export.bundle import single_graph
from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.manifest import Graph, Model
from bskim_export.data.question import Question
from bskim_export.evaluate.timing import share_turns
from bskim_export.runtime.answering import Answerer
from bskim_export.runtime.asked import Asked, Passage
from bskim_export.runtime.opening import make_runner
from bskim_export.runtime.runner import WindowResult
from bskim_export.runtime.windows import Window

TOKENISE = "tokenise"
WINDOWS = "cut windows"
COPIES = "copy to and from the engine"
ENGINE = "engine"
RUNNER = "runner (Python)"
DECODE = "decode answers"
HOST = (TOKENISE, WINDOWS, RUNNER, COPIES, ENGINE, DECODE)
INSIDE = ("embeddings", "attention", "FFN", "norms and residuals", "head", "predictors", "compaction and decisions")
"""Parts of the engine's time; see `part_of`."""

Parts = dict[str, float]
"""Seconds, by part."""


class Stopwatch:
    """Adds up seconds by part. What runs inside another part counts for the inner one only."""

    def __init__(self) -> None:
        self.seconds: Parts = defaultdict(float)

    @contextmanager
    def part(self, name: str, within: str | None = None) -> Iterator[None]:
        """Time what runs in the block.

        Args:
            within: the part that it is taken off
        """
        start = time.perf_counter()
        try:
            yield
        finally:
            taken = time.perf_counter() - start
            self.seconds[name] += taken
            if within is not None:
                self.seconds[within] -= taken


class _Timed:
    """Stands in for something, and times what it does; all else of it is as it was."""

    def __init__(self, original: Any, watch: Stopwatch):
        self._original = original
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


class _TimedBackend(_Timed):
    """A backend, within the runner that asks for its engines and copies; see `Backend`."""

    def load(self, bundle: Bundle, graph: Graph, streams: int = 1) -> Engine:
        return cast(Engine, _TimedEngine(self._original.load(bundle, graph, streams), self._watch))

    def to_device(self, array: npt.NDArray[Any]) -> Any:
        with self._watch.part(COPIES, within=RUNNER):
            return self._original.to_device(array)

    def to_host(self, tensor: Any) -> Any:
        with self._watch.part(COPIES, within=RUNNER):
            return self._original.to_host(tensor)


class _TimedEngine(_Timed):
    """An engine, within the runner."""

    def run(self, feeds: Mapping[str, Any]) -> Any:
        with self._watch.part(ENGINE, within=RUNNER):
            return self._original.run(feeds)


class _TimedTokenizer(_Timed):
    """A tokenizer, within the cutting of windows."""

    def encode(self, *args: Any, **options: Any) -> Any:
        with self._watch.part(TOKENISE, within=WINDOWS):
            return self._original.encode(*args, **options)


def _timed(answerer: Answerer, bundle: Bundle, backend: Backend, watch: Stopwatch) -> Answerer:
    """Return the same with a tokenizer and a runner that are timed."""
    maker = copy(answerer.maker)
    maker.tokenizer = cast(Tokenizer, _TimedTokenizer(maker.tokenizer, watch))
    return replace(answerer, maker=maker, runner=make_runner(bundle, cast(Backend, _TimedBackend(backend, watch))))


def profile(
    rows: Mapping[str, Answerer],
    bundle: Bundle,
    backend: Backend,
    questions: Sequence[Question],
    progress: Callable[[], None],
) -> dict[str, Parts]:
    """Return of each row the seconds of all questions by part, taking turns every few questions.

    Questions and their windows run one by one, on all cores.

    Args:
        rows: what answers, by name; their runners are replaced by timed ones
        progress: called after each question
    """
    watches = {name: Stopwatch() for name in rows}
    timed = {name: _timed(answerer, bundle, backend, watches[name]) for name, answerer in rows.items()}
    for name, answerer in timed.items():  # engines and caches are warm before the first measurement
        _answer(answerer, questions[0], watches[name])
        watches[name].seconds.clear()
    for name, few in share_turns(list(rows), questions, TURN, progress):
        for question in few:
            _answer(timed[name], question, watches[name])
    return {name: {part: watch.seconds[part] for part in HOST} for name, watch in watches.items()}


def profile_nodes(answerer: Answerer, bundle: Bundle, threads: int, questions: Sequence[Question]) -> Parts:
    """Return the seconds of all nodes of ONNX Runtime's graphs, by part of INSIDE. Its profiler takes part of them."""
    with ProfilingBackend(threads) as backend:
        profiled = replace(answerer, runner=make_runner(bundle, backend))
        for question in questions:
            _answer(profiled, question, Stopwatch())
        return add_up(backend.node_times(), bundle.model)


def add_up(nodes: Iterable[NodeTime], model: Model) -> Parts:
    """Return the seconds of nodes, by part of INSIDE."""
    seconds = dict.fromkeys(INSIDE, 0.0)
    for node in nodes:
        seconds[part_of(node, model)] += node.microseconds / 1e6
    return seconds


def part_of(node: NodeTime, model: Model) -> str:
    """Return the part of INSIDE that a node belongs to, as its name and sizes tell.

    Products of attention are those of queries, keys, values and output too.
    """
    if "skim_" in node.name:
        return "predictors"
    last = {sizes[-1] for sizes in node.sizes if len(sizes) > 1}
    of_hidden = bool(last & {model.hidden_size, model.num_heads * model.head_size})
    if model.intermediate_size in last:  # also where ONNX Runtime joined several nodes, and gave them another name
        return "FFN"
    if node.graph == single_graph.FILE and "stage_" not in node.name:
        return "compaction and decisions"
    if node.kind == "Gather" and of_hidden:
        first = node.graph != single_graph.FILE or "stage_0" in node.name
        return "embeddings" if first else "compaction and decisions"
    product = "MatMul" in node.kind or node.kind == "Gemm"
    if product and model.hidden_size not in node.sizes[-1] and len(node.sizes[-1]) == 3:
        return "head"
    if node.kind in ("Attention", "Softmax", "Slice") or (of_hidden and product):
        return "attention"
    return "norms and residuals"


def _answer(answerer: Answerer, question: Question, watch: Stopwatch) -> None:
    """Answer a question as `ask_all` does, its windows one by one."""
    asked = Asked(answerer, question.question, [Passage(question.context)])
    with watch.part(WINDOWS):
        windows = list(asked.cut())
    suited = answerer.suited(asked.document)
    for number, window in enumerate(windows):
        result = _run(suited, window, None, watch)
        with watch.part(DECODE):
            asked.note(number, window, result)
    with watch.part(DECODE):
        again = asked.again()
    for one in again:
        result = _run(suited, one.window, one.protected, watch)
        with watch.part(DECODE):
            asked.note_again(one, result)
    with watch.part(DECODE):
        asked.answers()


def _run(answerer: Answerer, window: Window, protected: int | None, watch: Stopwatch) -> WindowResult:
    with watch.part(RUNNER):
        (result,) = answerer.runner.run([window], answerer.policy, [protected])
    return result
