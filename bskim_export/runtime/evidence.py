"""What one window says about the answer, in a few numbers: all that is kept of it once it has run."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bskim_export.runtime.characters import Characters
from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.runner import WindowResult
from bskim_export.runtime.windows import Window


@dataclass(frozen=True)
class Pair:
    """A number for where an answer starts, and one for where it ends."""

    start: float
    end: float


NOTHING = Pair(-np.inf, -np.inf)


@dataclass(frozen=True)
class Span:
    """A candidate for the answer.

    first, last: its tokens, as positions of the window
    logits: of these two
    """

    first: int
    last: int
    logits: Pair


@dataclass(frozen=True)
class Candidate:
    """A span as the reader of its passage sees it.

    passage: number of the passage
    start, end: character offsets into it
    text: what stands there
    logits: of its first and its last token
    """

    passage: int
    start: int
    end: int
    text: str
    logits: Pair


@dataclass(frozen=True)
class Evidence:
    """What one window says. A window that left says that it holds nothing.

    candidates: its best spans, best first
    mass: the log of the summed exp of the logits of its kept passage tokens; -inf if there are none
    null: the logits of [CLS], which stand for "not in this window"; -inf for a model without it
    left: the window left the batch
    left_after: of a window that left, the layer after which it did
    best_score, best_block: of such a window, the highest keep probability of its blocks then, and that block
    """

    candidates: list[Candidate]
    mass: Pair = NOTHING
    null: Pair = NOTHING
    left: bool = False
    left_after: int = 0
    best_score: float = 0.0
    best_block: int = -1


class EvidenceReader:
    """Reads the evidence of the windows of one passage.

    Args:
        passage: its number
        context: its text
        hidden: characters at its beginning that no answer may come from, as a title; offsets count from behind them
        cls_token_id: of the model; None if it has none
        options: settings of the run
        characters: of the text, if they are at hand
    """

    def __init__(
        self,
        passage: int,
        context: str,
        hidden: int,
        cls_token_id: int | None,
        options: RunOptions,
        characters: Characters | None = None,
    ):
        self._passage = passage
        self._context = context
        self._hidden = hidden
        self._cls_token_id = cls_token_id
        self._options = options
        # A few spans more than are asked for: several may be widened to the same words.
        self._count = options.top_k * 2 + 10 if options.align_to_words else options.top_k
        self._characters = characters or Characters(context)

    def read(self, window: Window, result: WindowResult) -> Evidence:
        """Return what a window says."""
        if result.left:
            return Evidence(
                [],
                left=True,
                left_after=result.left_after,
                best_score=result.best_score,
                best_block=result.best_block,
            )
        edges = self._characters.edges(window)
        if self._hidden:
            edges &= window.ranges[:, 0] >= self._hidden
        spans, mass, null = best_spans(
            window, result, self._cls_token_id, self._options.max_answer_len, self._count, edges
        )
        return Evidence([self._candidate(window, span) for span in spans], mass, null)

    def _candidate(self, window: Window, span: Span) -> Candidate:
        start, end = self._characters.span(window, span.first, span.last, self._options.align_to_words)
        start = max(start, self._hidden)
        text = self._context[start:end]
        return Candidate(self._passage, start - self._hidden, end - self._hidden, text, span.logits)


def best_spans(
    window: Window,
    result: WindowResult,
    cls_token_id: int | None,
    max_answer_len: int,
    count: int,
    edges: npt.NDArray[np.bool_] | None = None,
) -> tuple[list[Span], Pair, Pair]:
    """Return the spans of one window with the highest sums of start and end logit, best first. Dropped tokens are no
    candidates.

    Args:
        max_answer_len: tokens of a span at most
        edges: bool [S], the tokens that may begin or end a span; default: those of the passage

    Returns:
        (at most `count` spans, mass, null), see Evidence
    """
    kept = np.isfinite(result.start_logits)
    candidate = window.is_passage & kept
    start = result.start_logits.astype(np.float64)
    end = result.end_logits.astype(np.float64)
    mass = Pair(_log_sum(start[candidate]), _log_sum(end[candidate]))
    cls = np.zeros(0, np.int64) if cls_token_id is None else np.flatnonzero((window.input_ids == cls_token_id) & kept)
    null = Pair(float(start[cls[0]]), float(end[cls[0]])) if len(cls) else NOTHING
    if edges is not None:
        candidate &= edges
    start = np.where(candidate, start, -np.inf)
    end = np.where(candidate, end, -np.inf)

    # Logit sums of all spans of up to `width` tokens, [S, width]: row s holds those from s to s, s + 1, ...
    width = min(max_answer_len, len(start))
    ahead = np.lib.stride_tricks.sliding_window_view(np.concatenate([end, np.full(width - 1, -np.inf)]), width)
    sums = (start[:, None] + ahead).ravel()

    # The best ones, sorted only after they have been picked.
    allowed = np.count_nonzero(sums > -np.inf)
    best = np.argpartition(-sums, min(count, len(sums)) - 1)[:count]
    best = best[np.argsort(-sums[best], kind="stable")][:allowed]
    spans = []
    for first, further in zip((best // width).tolist(), (best % width).tolist(), strict=True):
        logits = Pair(float(start[first]), float(end[first + further]))
        spans.append(Span(first, first + further, logits))
    return spans, mass, null


def _log_sum(logits: npt.NDArray[np.float64]) -> float:
    if not len(logits):
        return -np.inf
    most = logits.max()
    return float(most + np.log(np.exp(logits - most).sum()))
