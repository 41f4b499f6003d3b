"""The answer spans that a record keeps: enough of them to decode an answer from any part of the blocks."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from bskim_export.calibrate.store import Arrays
from bskim_export.data.metrics import exact_match, f1
from bskim_export.data.question import Question
from bskim_export.runtime.characters import Characters
from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.runner import WindowResult
from bskim_export.runtime.windows import Window

SPANS = 4
"""Spans that are kept of each pair of blocks. The pipeline looks at the twelve best of a window for one answer; with
four of each pair, those that decide are among them as a rule, and `true_runs.agreement` counts the exceptions."""


class SpanCollector:
    """Collects the best spans of questions, and their texts: the fields `spans` to `text_score` of a Record.

    Args:
        options: settings of the run
        block_size: positions of a block
    """

    def __init__(self, options: RunOptions, block_size: int):
        self._options = options
        self._size = block_size
        self._spans: list[tuple[int, int, int]] = []
        self._span_score: list[float] = []
        self._text: list[tuple[int, int]] = []
        self._text_score: list[tuple[float, float]] = []

    def add(
        self,
        number: int,
        question: Question,
        windows: Sequence[Window],
        results: Sequence[WindowResult],
        starts: Sequence[int],
    ) -> None:
        """Add the spans of one question.

        Args:
            number: of the question
            windows, results: one each per window
            starts: the number of each window's first block
        """
        known: dict[str, int] = {}
        characters = Characters(question.context)
        for window, result, start in zip(windows, results, starts, strict=True):
            edges = characters.edges(window)
            for first, last, score in best_spans(window, result, self._size, self._options.max_answer_len, edges):
                # Spans with the same text are one answer, upper and lower case alike, as EM and F1 are.
                begin, end = characters.span(window, first, last, self._options.align_to_words)
                answer = question.context[begin:end]
                if answer.lower() not in known:
                    known[answer.lower()] = len(self._text)
                    self._text.append((number, text_hash(answer)))
                    self._text_score.append((exact_match(answer, question.gold), f1(answer, question.gold)))
                self._spans.append((known[answer.lower()], start + first // self._size, start + last // self._size))
                self._span_score.append(score)

    def arrays(self) -> Arrays:
        """Return the fields, by name."""
        return {
            "spans": np.array(self._spans, np.int64),
            "span_score": np.array(self._span_score, np.float64),
            "text": np.array(self._text, np.int64),
            "text_score": np.array(self._text_score, np.float64),
        }


def best_spans(
    window: Window,
    result: WindowResult,
    size: int,
    max_answer_len: int,
    edges: npt.NDArray[np.bool_] | None = None,
) -> Iterator[tuple[int, int, float]]:
    """Yield (first token, last token, logit sum) of the SPANS best spans of every pair of blocks.

    Args:
        result: of a run with nothing dropped
        size: positions of a block
        max_answer_len: tokens of a span at most
        edges: bool [S], the tokens that may begin or end a span; default: those of the passage
    """
    # All spans of up to max_answer_len passage tokens; a window's passage is one run of tokens.
    passage = np.flatnonzero(window.is_passage)
    first = np.repeat(passage, max_answer_len)
    last = first + np.tile(np.arange(max_answer_len), len(passage))
    inside = last <= passage[-1]
    if edges is not None:
        inside &= edges[first] & edges[np.minimum(last, passage[-1])]
    first = first[inside]
    last = last[inside]
    value = result.start_logits[first].astype(np.float64) + result.end_logits[last]
    # Sort them by the blocks of their two ends, then best first, and rank those of the same pair of blocks.
    pair = first // size * len(window.input_ids) + last // size
    order = np.lexsort((-value, pair))
    begins = np.flatnonzero(np.diff(pair[order], prepend=-1))
    rank = np.arange(len(order)) - np.repeat(begins, np.diff(begins, append=len(order)))
    for i in order[rank < SPANS]:
        yield int(first[i]), int(last[i]), float(value[i])


def text_hash(answer: str) -> int:
    """Return 63 bits that stand for an answer, upper and lower case alike, as the pipeline merges them.

    Example:
        >>> text_hash("Ada") == text_hash("ADA") != text_hash("Adam")
        True
    """
    return int.from_bytes(hashlib.blake2b(answer.lower().encode(), digest_size=8).digest(), "big") >> 1
