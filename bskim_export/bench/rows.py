"""The three rows of every speed table: padded dense, unpadded dense, unpadded + skim, on one backend, in one run."""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bskim_export.bench.macs import dense_macs, window_macs
from bskim_export.bundle import Model
from bskim_export.data.metrics import MAX_ANSWER_LEN, evaluate
from bskim_export.data.question import Question
from bskim_export.runtime.orchestrator import WindowResult
from bskim_export.runtime.pipeline import QAPipeline
from bskim_export.runtime.policy import KeepSchedule, Thresholds
from bskim_export.runtime.windows import Window, WindowMaker


class RecordingPipeline(QAPipeline):
    """A pipeline that remembers what became of the windows of its last call."""

    last: tuple[Sequence[Sequence[Window]], list[list[WindowResult]]]

    def skim(self, windows, must_answer=True, policy=None, batch_size=None):
        results = super().skim(windows, must_answer, policy, batch_size)
        self.last = (windows, results)
        return results


class PaddingWindowMaker(WindowMaker):
    """Pads every window to the model's full length, as static-shape deployments do."""

    def __call__(self, question, context, max_seq_len, doc_stride):
        return [self._pad(w, max_seq_len) for w in super().__call__(question, context, max_seq_len, doc_stride)]

    def _pad(self, window: Window, max_seq_len: int) -> Window:
        model = self.model
        missing = -(-max_seq_len // model.block_size) * model.block_size - len(window.input_ids)

        def extend(array, value):
            return np.concatenate([array, np.full(missing, value, np.int64)])

        # the position of padding is of no consequence to real tokens, but must be one that the model has
        position = model.position_offset if model.pad_position is None else model.pad_position
        return replace(
            window,
            input_ids=extend(window.input_ids, model.pad_token_id),
            token_type_ids=extend(window.token_type_ids, 0),
            position_ids=extend(window.position_ids, position),
        )


@dataclass
class Row:
    """One way to run the model, and what was measured of it."""

    name: str
    pipeline: RecordingPipeline
    skims: bool = False
    predictions: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    macs: list[int] = field(default_factory=list)
    batch_seconds: float = 0.0
    blocks: int = 0
    kept: np.ndarray | None = None


def make_rows(
    pipeline: RecordingPipeline,
    keep_schedule: Sequence[float] | None = None,
    baseline: RecordingPipeline | None = None,
) -> list[Row]:
    """Return the rows over one set of engines; the skim row is left out for a bundle without predictors.

    Args:
        keep_schedule: instead of the pipeline's thresholds
        baseline: another bundle, whose dense model is one more row
    """
    model = pipeline.manifest.model
    dense = copy.copy(pipeline)
    dense.policy = Thresholds({})
    padded = copy.copy(dense)
    padded.windows = PaddingWindowMaker(pipeline.windows.tokenizer, model)
    rows = [Row("dense-padded", padded), Row("dense", dense)]
    if pipeline.manifest.skim_layers:
        skim = copy.copy(pipeline)
        if keep_schedule:
            skim.policy = KeepSchedule(keep_schedule)
        rows.append(Row("skim", skim, skims=True))
    if baseline is not None:
        other = copy.copy(baseline)
        other.policy = Thresholds({})
        rows.append(Row("baseline", other))
    for row in rows:
        row.kept = np.zeros(row.pipeline.manifest.model.num_layers, np.int64)
    return rows


def measure(
    rows: list[Row],
    questions: Sequence[Question],
    batch_size: int,
    max_seq_len: int,
    progress: Callable[[], None],
    handle_impossible_answer: bool = False,
    warm_up: bool = False,
) -> None:
    """Measure all rows, taking turns at every question, so that a machine that slows down slows all alike.

    First one question at a time (latency, answers, MACs), then many at once in batches of `batch_size` (throughput).

    Args:
        progress: called after each question of each of the two passes
        handle_impossible_answer: the empty answer may be given; for data sets with questions that have none
        warm_up: run everything once before, for what a process sees that has been up for long: OpenVINO compiles
            kernels for every new shape
    """
    options = {
        "max_answer_len": MAX_ANSWER_LEN,
        "max_seq_len": max_seq_len,
        "handle_impossible_answer": handle_impossible_answer,
    }
    parts = [questions[i : i + 8 * batch_size] for i in range(0, len(questions), 8 * batch_size)]
    for row in rows:  # engines and caches are warm before the first measurement
        for part in parts if warm_up else [questions[:1]]:
            for size in (1, batch_size):
                row.pipeline.run(**_texts(part), **options, batch_size=size)
    for n, question in enumerate(questions):
        for row in _turn(rows, n):
            start = time.perf_counter()
            answer = row.pipeline.run(question=question.question, context=question.context, **options)
            row.seconds.append(time.perf_counter() - start)
            row.predictions.append(answer["answer"])
            _record(row)
        progress()
    for n, part in enumerate(parts):
        for row in _turn(rows, n):
            begin = time.perf_counter()
            row.pipeline.run(**_texts(part), **options, batch_size=batch_size)
            row.batch_seconds += time.perf_counter() - begin
        for _ in part:
            progress()


def _texts(questions: Sequence[Question]) -> dict:
    return {"question": [q.question for q in questions], "context": [q.context for q in questions]}


def summarise(row: Row, baseline: Row, questions: Sequence[Question], backend: str) -> dict:
    """Return a row of the report; speed-ups are over `baseline`, an unpadded dense row."""
    p50, p95, p99 = np.percentile(np.array(row.seconds) * 1e3, [50, 95, 99])
    return {
        "name": row.name,
        "backend": backend,
        **evaluate(row.predictions, [q.gold for q in questions]),
        "gmacs_per_question": sum(row.macs) / len(questions) / 1e9,
        "speedup_macs": sum(baseline.macs) / sum(row.macs),
        "speedup_time": sum(baseline.seconds) / sum(row.seconds),
        "speedup_time_batched": baseline.batch_seconds / row.batch_seconds,
        "latency_ms": {"p50": float(p50), "p95": float(p95), "p99": float(p99)},
        "questions_per_second": len(questions) / row.batch_seconds,
        "kept_blocks": (row.kept / row.blocks).tolist(),
    }


def paper_speedup(row: Row, model: Model) -> float:
    """Return the MAC speed-up in the paper's accounting: over the same windows padded to 512 positions."""
    return len(row.macs) * dense_macs(model, 512) / sum(row.macs)


def _record(row: Row) -> None:
    model, layers = row.pipeline.manifest.model, []
    if row.skims:
        layers = [i for i in row.pipeline.manifest.skim_layers if row.pipeline.policy.scores(i)]
    for window, result in zip(row.pipeline.last[0][0], row.pipeline.last[1][0], strict=True):
        row.macs.append(window_macs(model, result, window.question_blocks, layers))
        row.blocks += len(result.dropped_after)
        row.kept += (result.dropped_after[None] > np.arange(model.num_layers)[:, None]).sum(1)


def _turn(rows: list[Row], n: int) -> list[Row]:
    return rows[n % len(rows) :] + rows[: n % len(rows)]
