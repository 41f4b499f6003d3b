"""One pass over the questions with nothing dropped: every keep probability, and all that the dense model would answer.

From this record `simulate` predicts what any thresholds would do, without running the model again.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from bskim_export.bundle.bundle import Bundle
from bskim_export.calibrate.needed_blocks import occurrences
from bskim_export.calibrate.store import fingerprint, shards
from bskim_export.data.metrics import exact_match, f1
from bskim_export.data.question import Question
from bskim_export.evaluate.loop import cut_windows
from bskim_export.runtime.answering import Answerer
from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.runner import WindowResult
from bskim_export.runtime.scoring import span_to_chars
from bskim_export.runtime.windows import Window

SPANS = 4
"""Spans that are kept of each pair of blocks. The pipeline looks at the twelve best of a window for one answer; with
four of each pair, those that decide are among them as a rule, and `true_runs.agreement` counts the exceptions."""


@dataclass(frozen=True, eq=False)
class Record:
    """The outcome of one pass over Q questions with W windows and B blocks, all in order.

    layers: the skim layers, L of them
    windows: int [Q], windows of each question
    blocks, question_blocks: int [W]; may_leave: bool [W], as the window has them
    scores: float32 [L, B], keep probabilities; inf for question blocks, which no threshold drops
    mass: float64 [B, 2], log of the summed exp of the start and end logits of a block's passage tokens
    cls: float64 [W, 2], the start and end logit of [CLS]; -inf for a model without it
    gold: int [O, 3], question, first and last block of each occurrence of a gold answer (see `needs`)
    spans: int [S, 3], text, first and last block of the best answer spans; span_score: float64 [S], the sum of their
        start and end logits
    text: int [T, 2], question and hash of each answer text; text_score: float64 [T, 2], its EM and F1 (0 to 1)
    """

    layers: tuple[int, ...]
    windows: np.ndarray
    blocks: np.ndarray
    question_blocks: np.ndarray
    may_leave: np.ndarray
    scores: np.ndarray
    mass: np.ndarray
    cls: np.ndarray
    gold: np.ndarray
    spans: np.ndarray
    span_score: np.ndarray
    text: np.ndarray
    text_score: np.ndarray

    @property
    def questions(self) -> int:
        """How many questions."""
        return len(self.windows)

    def part(self, start: int, stop: int) -> "Record":
        """Return the record of the questions [start, stop)."""
        windows = slice(*(int(self.windows[:q].sum()) for q in (start, stop)))
        blocks = slice(*(int(self.blocks[:w].sum()) for w in (windows.start, windows.stop)))
        texts = slice(*np.searchsorted(self.text[:, 0], (start, stop)))
        gold = slice(*np.searchsorted(self.gold[:, 0], (start, stop)))
        spans = (self.spans[:, 0] >= texts.start) & (self.spans[:, 0] < texts.stop)
        return Record(
            layers=self.layers,
            windows=self.windows[start:stop],
            blocks=self.blocks[windows],
            question_blocks=self.question_blocks[windows],
            may_leave=self.may_leave[windows],
            scores=self.scores[:, blocks],
            mass=self.mass[blocks],
            cls=self.cls[windows],
            gold=self.gold[gold] - [start, blocks.start, blocks.start],
            spans=self.spans[spans] - [texts.start, blocks.start, blocks.start],
            span_score=self.span_score[spans],
            text=self.text[texts] - [start, 0],
            text_score=self.text_score[texts],
        )


class KeepAll:
    """A policy that keeps every block and remembers the keep probabilities of a batch."""

    def __init__(self):
        self.seen: dict[int, np.ndarray] = {}

    def scores(self, layer: int) -> bool:
        return True

    def keep(self, layer: int, window: np.ndarray, score: np.ndarray, initial: np.ndarray) -> np.ndarray:
        self.seen[layer] = score.copy()
        return np.ones(len(score), bool)


def work_key(bundle: Bundle, questions: Sequence[Question], options: RunOptions) -> str:
    """Return a fingerprint of all that a record depends on: the bundle's files, the questions, the options."""
    texts = hashlib.sha256()
    for q in questions:
        texts.update(json.dumps([q.id, q.question, q.context, q.answers, q.starts, q.gold]).encode())
    stages = [[s.graph.file, s.skim_layer] for s in bundle.manifest.stages]
    return fingerprint([2, bundle.manifest.files, stages, texts.hexdigest(), vars(options)])


def record(
    answerer: Answerer,
    questions: Sequence[Question],
    folder: Path,
    progress: Callable[[int], None] = lambda done: None,
) -> Record:
    """Run the questions once, or read the part of it that `folder` has.

    Args:
        answerer: whose runner and options are used, not its policy
        folder: where finished shards are; named by `work_key`
        progress: called with the number of questions that were just done

    Raises:
        InputError: a question cannot be run.
    """
    parts = []
    for done, arrays in shards(folder / "record", questions, lambda part: _record_shard(answerer, part)):
        parts.append(arrays)
        progress(done)
    return _join(tuple(answerer.runner.skim_layers), parts)


def _record_shard(answerer: Answerer, questions: Sequence[Question]) -> dict[str, np.ndarray]:
    model = answerer.runner.model
    size = model.block_size
    own = [cut_windows(answerer, q) for q in questions]
    flat = [w for windows in own for w in windows]
    results, scores = _run(answerer, flat)
    rows = {name: [] for name in ("mass", "cls", "gold", "spans", "span_score", "text", "text_score")}
    w = block = 0
    for q, (question, windows) in enumerate(zip(questions, own, strict=True)):
        starts = block + np.cumsum([0] + [len(x.input_ids) // size for x in windows])
        rows["gold"] += [(q, starts[i] + a, starts[i] + b) for i, a, b in occurrences(question, windows, size)]
        texts: dict[str, int] = {}
        for i, window in enumerate(windows):
            result = results[w + i]
            rows["mass"].append(_mass(window, result, size))
            rows["cls"].append(_cls(window, result, model.cls_token_id))
            for first, last, value in _best_spans(window, result, size, answerer.options.max_answer_len):
                begin, end = span_to_chars(window, first, last, answerer.options.align_to_words)
                answer = question.context[begin:end]
                if answer.lower() not in texts:
                    texts[answer.lower()] = len(rows["text"])
                    rows["text"].append((q, text_hash(answer)))
                    rows["text_score"].append((exact_match(answer, question.gold), f1(answer, question.gold)))
                rows["spans"].append((texts[answer.lower()], starts[i] + first // size, starts[i] + last // size))
                rows["span_score"].append(value)
        w, block = w + len(windows), int(starts[-1])
    return {
        "windows": np.array([len(x) for x in own]),
        "blocks": np.array([len(x.input_ids) // size for x in flat]),
        "question_blocks": np.array([x.question_blocks for x in flat]),
        "may_leave": np.array([x.may_leave for x in flat]),
        "scores": np.concatenate(scores, axis=1),
        "mass": np.concatenate(rows.pop("mass")),
        "gold": np.array(rows.pop("gold"), np.int64).reshape(-1, 3),
        **{name: np.array(values) for name, values in rows.items()},
    }


def _run(answerer: Answerer, windows: list[Window]) -> tuple[list[WindowResult], list[np.ndarray]]:
    """Return the dense result and the keep probabilities, float32 [L, blocks], of each window."""
    size = answerer.runner.model.block_size
    layers = answerer.runner.skim_layers
    scores = [np.full((len(layers), len(w.input_ids) // size), np.inf, np.float32) for w in windows]
    results: dict[int, WindowResult] = {}
    order = sorted(range(len(windows)), key=lambda i: len(windows[i].input_ids))
    for start in range(0, len(order), answerer.options.batch_size):
        batch = order[start : start + answerer.options.batch_size]
        policy = KeepAll()
        results.update(zip(batch, answerer.runner.run([windows[i] for i in batch], policy), strict=True))
        # The policy has seen the passage blocks of the whole batch, window by window.
        passages = [scores[i].shape[1] - windows[i].question_blocks for i in batch]
        for i, end, passage in zip(batch, np.cumsum(passages).tolist(), passages, strict=True):
            for row, layer in enumerate(layers):
                if layer in policy.seen:  # else no window of the batch has a passage block
                    scores[i][row, windows[i].question_blocks :] = policy.seen[layer][end - passage : end]
    return [results[i] for i in range(len(windows))], scores


def text_hash(answer: str) -> int:
    """Return 63 bits that stand for an answer, upper and lower case alike, as the pipeline merges them."""
    return int.from_bytes(hashlib.blake2b(answer.lower().encode(), digest_size=8).digest(), "big") >> 1


def _mass(window: Window, result: WindowResult, size: int) -> np.ndarray:
    passage = window.is_passage
    masked = [np.where(passage, x, -np.inf).reshape(-1, size) for x in (result.start_logits, result.end_logits)]
    return np.stack([np.logaddexp.reduce(x.astype(np.float64), axis=1) for x in masked], axis=1)


def _cls(window: Window, result: WindowResult, cls_token_id: int | None) -> tuple[float, float]:
    place = np.flatnonzero(window.input_ids == cls_token_id) if cls_token_id is not None else []
    return (result.start_logits[place[0]], result.end_logits[place[0]]) if len(place) else (-np.inf, -np.inf)


def _best_spans(window: Window, result: WindowResult, size: int, max_answer_len: int):
    """Yield (first token, last token, logit sum) of the SPANS best spans of every pair of blocks."""
    passage = np.flatnonzero(window.is_passage)
    first = np.repeat(passage, max_answer_len)
    last = first + np.tile(np.arange(max_answer_len), len(passage))
    inside = last <= passage[-1]  # a window's passage is one run of tokens
    first, last = first[inside], last[inside]
    value = result.start_logits[first].astype(np.float64) + result.end_logits[last]
    pair = first // size * len(window.input_ids) + last // size
    order = np.lexsort((-value, pair))
    begins = np.flatnonzero(np.diff(pair[order], prepend=-1))
    rank = np.arange(len(order)) - np.repeat(begins, np.diff(begins, append=len(order)))
    for i in order[rank < SPANS]:
        yield int(first[i]), int(last[i]), float(value[i])


def _join(layers: tuple[int, ...], parts: list[dict[str, np.ndarray]]) -> Record:
    """Put the shards behind each other; their numbers of questions, blocks and texts become the record's."""
    question = block = text = 0
    for part in parts:
        part["gold"] = part["gold"] + [question, block, block]
        part["spans"] = part["spans"] + [text, block, block]
        part["text"] = part["text"] + [question, 0]
        question, block, text = question + len(part["windows"]), block + part["blocks"].sum(), text + len(part["text"])
    names = [f.name for f in fields(Record) if f.name != "layers"]
    return Record(layers, **{n: np.concatenate([p[n] for p in parts], axis=int(n == "scores")) for n in names})
