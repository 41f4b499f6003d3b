"""One pass over the questions with nothing dropped: every keep probability, and all that the dense model would answer.

From this record `simulate` predicts what any thresholds would do, without running the model again.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bskim_export.bundle.bundle import Bundle
from bskim_export.calibrate.needed_blocks import occurrences
from bskim_export.calibrate.spans import SpanCollector
from bskim_export.calibrate.store import Arrays, fingerprint, shards
from bskim_export.data.question import Question
from bskim_export.evaluate.loop import cut_windows
from bskim_export.runtime.answering import Answerer
from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.policy import KeepSchedule
from bskim_export.runtime.runner import NOT_JUDGED, WindowResult
from bskim_export.runtime.windows import Window


@dataclass(frozen=True, eq=False)
class Record:
    """The outcome of one pass over Q questions with W windows and B blocks, all in order.

    layers: the skim layers, L of them
    window_scale: how answers of different windows are compared, see `RunOptions`
    windows: int64 [Q], windows of each question
    blocks, question_blocks: int64 [W]
    may_leave, judge_shared: bool [W], as the window has it
    scores: float32 [L, B], keep probabilities; inf for blocks that no predictor judges
    mass: float64 [B, 2], log of the summed exp of the start and end logits of a block's passage tokens
    cls: float64 [W, 2], the start and end logit of [CLS]; -inf for a model without it
    gold: int64 [O, 3], question, first and last block of each occurrence of a gold answer (see `needed_blocks`)
    spans: int64 [S, 3], text, first and last block of the best answer spans
    span_score: float64 [S], the sum of their start and end logits
    text: int64 [T, 2], question and hash of each answer text, questions in order
    text_score: float64 [T, 2], its EM and F1, 0 to 1
    """

    layers: tuple[int, ...]
    window_scale: str
    windows: npt.NDArray[np.int64]
    blocks: npt.NDArray[np.int64]
    question_blocks: npt.NDArray[np.int64]
    may_leave: npt.NDArray[np.bool_]
    judge_shared: npt.NDArray[np.bool_]
    scores: npt.NDArray[np.float32]
    mass: npt.NDArray[np.float64]
    cls: npt.NDArray[np.float64]
    gold: npt.NDArray[np.int64]
    spans: npt.NDArray[np.int64]
    span_score: npt.NDArray[np.float64]
    text: npt.NDArray[np.int64]
    text_score: npt.NDArray[np.float64]

    @property
    def unjudged_blocks(self) -> npt.NDArray[np.int64]:
        """Return how many blocks of each window no predictor judges, int64 [W]."""
        return self.question_blocks - self.judge_shared

    @property
    def questions(self) -> int:
        """Return the number of questions."""
        return len(self.windows)

    def part(self, start: int, stop: int) -> "Record":
        """Return the record of the questions [start, stop)."""
        # The windows, blocks, texts and occurrences of these questions are runs; their spans need not be.
        windows = slice(int(self.windows[:start].sum()), int(self.windows[:stop].sum()))
        blocks = slice(int(self.blocks[: windows.start].sum()), int(self.blocks[: windows.stop].sum()))
        texts = slice(*np.searchsorted(self.text[:, 0], [start, stop]).tolist())
        gold = slice(*np.searchsorted(self.gold[:, 0], [start, stop]).tolist())
        spans = (self.spans[:, 0] >= texts.start) & (self.spans[:, 0] < texts.stop)
        return Record(
            layers=self.layers,
            window_scale=self.window_scale,
            windows=self.windows[start:stop],
            blocks=self.blocks[windows],
            question_blocks=self.question_blocks[windows],
            may_leave=self.may_leave[windows],
            judge_shared=self.judge_shared[windows],
            scores=self.scores[:, blocks],
            mass=self.mass[blocks],
            cls=self.cls[windows],
            gold=self.gold[gold] - np.array([start, blocks.start, blocks.start]),
            spans=self.spans[spans] - np.array([texts.start, blocks.start, blocks.start]),
            span_score=self.span_score[spans],
            text=self.text[texts] - np.array([start, 0]),
            text_score=self.text_score[texts],
        )


def work_key(bundle: Bundle, questions: Sequence[Question], options: RunOptions) -> str:
    """Return a fingerprint of all that a record depends on: the bundle's files, the questions, the options."""
    texts = hashlib.sha256()
    for q in questions:
        texts.update(json.dumps([q.id, q.question, q.context, q.answers, q.starts, q.gold]).encode())
    stages = [[s.graph.file, s.skim_layer] for s in bundle.manifest.stages]
    return fingerprint([3, bundle.manifest.files, stages, texts.hexdigest(), vars(options)])


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
    return _join(tuple(answerer.runner.skim_layers), answerer.options.window_scale, parts)


def _record_shard(answerer: Answerer, questions: Sequence[Question]) -> Arrays:
    """Return the fields of the record of these questions."""
    model = answerer.runner.model
    size = model.block_size
    own = [cut_windows(answerer, q) for q in questions]
    flat = [w for windows in own for w in windows]
    results = replace(answerer, policy=KeepSchedule([1.0])).run(flat)
    # What every block and window gives to the answers.
    mass = [_mass(window, result, size) for window, result in zip(flat, results, strict=True)]
    cls = [_cls(window, result, model.cls_token_id) for window, result in zip(flat, results, strict=True)]
    # What every question needs, and the texts that it may be answered with; both count blocks over the whole shard.
    gold: list[tuple[int, int, int]] = []
    found = SpanCollector(answerer.options, size)
    w = 0
    block = 0
    for q, (question, windows) in enumerate(zip(questions, own, strict=True)):
        starts = (block + np.cumsum([0] + [len(x.input_ids) // size for x in windows])).tolist()
        gold += [(q, starts[i] + a, starts[i] + b) for i, a, b in occurrences(question, windows, size)]
        found.add(q, question, windows, results[w : w + len(windows)], starts[:-1])
        w += len(windows)
        block = starts[-1]
    return {
        "windows": np.array([len(x) for x in own]),
        "blocks": np.array([len(x.input_ids) // size for x in flat]),
        "question_blocks": np.array([x.question_blocks for x in flat]),
        "may_leave": np.array([x.may_leave for x in flat]),
        "judge_shared": np.array([x.judge_shared for x in flat]),
        "scores": np.concatenate([_keep_probabilities(result) for result in results], axis=1),
        "mass": np.concatenate(mass),
        "cls": np.array(cls, np.float64),
        "gold": np.array(gold, np.int64).reshape(-1, 3),
        **found.arrays(),
    }


def _keep_probabilities(result: WindowResult) -> npt.NDArray[np.float32]:
    """Return float32 [L, K], infinite where no predictor judged the block: nothing refuses those."""
    found = result.probabilities
    return np.where(found == NOT_JUDGED, np.float32(np.inf), found)


def _mass(window: Window, result: WindowResult, size: int) -> npt.NDArray[np.float64]:
    passage = window.is_passage
    masked = [np.where(passage, x, -np.inf).reshape(-1, size) for x in (result.start_logits, result.end_logits)]
    return np.stack([np.logaddexp.reduce(x.astype(np.float64), axis=1) for x in masked], axis=1)


def _cls(window: Window, result: WindowResult, cls_token_id: int | None) -> tuple[float, float]:
    place = np.flatnonzero(window.input_ids == cls_token_id) if cls_token_id is not None else np.zeros(0, np.int64)
    if not len(place):
        return -np.inf, -np.inf
    return float(result.start_logits[place[0]]), float(result.end_logits[place[0]])


def _join(layers: tuple[int, ...], window_scale: str, parts: Sequence[Arrays]) -> Record:
    """Put the shards behind each other; their numbers of questions, blocks and texts become the record's."""
    question = 0
    block = 0
    text = 0
    for part in parts:
        part["gold"] = part["gold"] + [question, block, block]
        part["spans"] = part["spans"] + [text, block, block]
        part["text"] = part["text"] + [question, 0]
        question += len(part["windows"])
        block += int(part["blocks"].sum())
        text += len(part["text"])
    names = [f.name for f in fields(Record) if f.name not in ("layers", "window_scale")]
    arrays = {n: np.concatenate([p[n] for p in parts], axis=int(n == "scores")) for n in names}
    return Record(layers, window_scale, **arrays)
