"""One question on its way to its answers: what must be known of its windows once they have run, and no more."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from bskim_export.errors import InputError
from bskim_export.runtime.answering import Answerer
from bskim_export.runtime.budget import Again, choose_blocks
from bskim_export.runtime.evidence import Evidence, EvidenceReader
from bskim_export.runtime.leaving import most_promising
from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.runner import WindowResult
from bskim_export.runtime.scoring import Answer, best_answers
from bskim_export.runtime.skipped import Skipped, SkippedTokens
from bskim_export.runtime.windows import NoWordsError, Window, Windows


@dataclass(frozen=True)
class Passage:
    """A text that may hold the answer.

    title: is read before the text, but is no part of it: no answer is from there
    """

    text: str
    title: str = ""

    @property
    def whole(self) -> str:
        """Return all that is read."""
        return f"{self.title}\n{self.text}" if self.title else self.text

    @property
    def hidden(self) -> int:
        """Return how many characters of `whole` are before the text."""
        return len(self.title) + 1 if self.title else 0


def read_passages(items: Iterable[Any]) -> Iterator[Passage]:
    """Yield passages from strings, and from dicts with "text" and perhaps "title".

    Raises:
        InputError: one is neither; the message has its number, from 0.

    Example:
        >>> next(read_passages([{"title": "Ada", "text": "She wrote it."}]))
        Passage(text='She wrote it.', title='Ada')
    """
    for number, item in enumerate(items):
        text = item.get("text") if isinstance(item, Mapping) else item
        title = (item.get("title") if isinstance(item, Mapping) else None) or ""
        if not isinstance(text, str) or not isinstance(title, str):
            got = f"one of {type(text).__name__}" if isinstance(item, Mapping) else type(item).__name__
            raise InputError(
                f"Passage {number} must be a string, or a dict with strings as 'text' and 'title', got {got}."
            )
        yield Passage(str(text), str(title))


def _numbered(passages: Iterable[Passage]) -> Iterator[tuple[int, Passage, bool]]:
    """Yield passages with their numbers, and whether there is no other."""
    following = iter(passages)
    first = next(following, None)
    if first is None:
        return
    second = next(following, None)
    yield 0, first, second is None
    for number, passage in enumerate(chain([second] if second else [], following), start=1):
        yield number, passage, False


@dataclass(eq=False)
class _Part:
    """One passage with words, and what is kept of it."""

    number: int
    passage: Passage
    windows: Windows
    first: int
    reader: EvidenceReader
    skipped: SkippedTokens
    probability: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))


@dataclass(eq=False)
class Asked:
    """A question about one context, or about passages that are answered jointly.

    Passages are read when their turn comes. Of a window that has run, what it says about the answer is kept; of a
    passage, its text and its tokens.

    Args:
        answerer: cuts, runs and decodes
        question: its text
        passages: one context, or passages; read once
        joint: there may be several passages, and answers say which they are from
        return_skim: collect what is skipped
        keep: keep windows and results, for whoever measures them
        judge: collect what the predictors think of each character

    Attributes:
        document: it has several windows
        bounded: it has more blocks than `max_blocks` allows, so that its first run only scouts; see budget.py
    """

    answerer: Answerer
    question: str
    passages: Iterable[Passage]
    joint: bool = False
    return_skim: bool = False
    keep: bool = False
    judge: bool = False
    seconds: float = 0.0
    document: bool = False
    bounded: bool = False
    windows: list[Window] = field(default_factory=list)
    results: list[WindowResult] = field(default_factory=list)
    _parts: list[_Part] = field(default_factory=list)
    _evidence: list[Evidence] = field(default_factory=list)
    _scouted: dict[int, tuple[int, npt.NDArray[np.float32]]] = field(default_factory=dict)
    _work: int = 0
    _most_work: int = 0

    @property
    def options(self) -> RunOptions:
        """Return the settings of the run."""
        return self.answerer.options

    @property
    def count(self) -> int:
        """Return how many windows there are, of the passages that were read so far."""
        return self._parts[-1].first + len(self._parts[-1].windows) if self._parts else 0

    def cut(self) -> Iterator[Window]:
        """Yield the windows, in order, passage by passage.

        Raises:
            InputError: the question cannot be run; windows that were yielded before are of no use then.
        """
        options = self.answerer.options
        for number, passage, alone in _numbered(self.passages):
            try:
                windows = self._windows(passage.whole, alone)
            except NoWordsError:
                if not self.joint:
                    raise
                continue  # an empty passage holds nothing
            part = self._part(number, passage, windows)
            if self.count + len(windows) > options.max_windows:
                raise InputError(
                    f"`passages` make more than max_windows {options.max_windows} windows, the first {number} of them "
                    f"{self.count}. Raise max_windows, or pass fewer passages."
                )
            self._parts.append(part)
            yield from (replace(w, judge_shared=True) for w in windows) if self.judge else windows
        if not self._parts:
            raise InputError("`passages` cannot be empty: none of them has words.")

    def _windows(self, text: str, alone: bool) -> Windows:
        """Cut a text into windows, and find out whether the question has more blocks than it may."""
        windows = self.answerer.windows(self.question, text, alone)
        self.document = not alone or len(windows) > 1
        most = self.answerer.options.max_blocks
        if most is None or not self.answerer.suited(document=True).scored_layers:
            return windows
        size = self.answerer.runner.model.block_size
        if not self.bounded:
            self.bounded = self.joint or sum(len(w.input_ids) // size - w.unjudged_blocks for w in windows) > most
        self.document = self.document or self.bounded
        # Every window must be able to leave after the first run; of several, each is.
        if self.bounded and alone and len(windows) == 1:
            return self.answerer.windows(self.question, text, alone=False)
        return windows

    def note(self, number: int, window: Window, result: WindowResult) -> None:
        """Take in the result of a window, by its number; windows come in order of their numbers."""
        if self.bounded:
            self._scouted[number] = (window.unjudged_blocks, result.keep_probability)
        self._evidence.append(self._read(number, window, result))
        self._most_work += self._whole_work(window)
        if self.keep:
            self.windows.append(window)
            self.results.append(result)

    def note_again(self, again: Again, result: WindowResult) -> None:
        """Take in the result of a window that ran once more, instead of the first one."""
        self._evidence[again.number] = self._read(again.number, again.window, result)
        result.protected = again.protected is not None
        if self.keep:
            result.earlier = self.results[again.number]
            self.results[again.number] = result

    def _read(self, number: int, window: Window, result: WindowResult) -> Evidence:
        part = self._part_of(number)
        if self.return_skim:
            part.skipped.note(number, window, result)
        if self.judge:
            self._judge(part, window, result)
        dropped = result.dropped_after[window.question_blocks :].astype(np.int64) + 1
        layers = self.answerer.runner.model.num_layers
        self._work += int(np.minimum(dropped, layers).sum())  # a block that was never dropped has a large number
        return part.reader.read(window, result)

    def again(self) -> list[Again]:
        """Return the windows that must run once more.

        A question that must have an answer and whose windows have all left gets its most promising window run once
        more, with that window's best block protected; one of more blocks than `max_blocks`, the windows that hold the
        best-scored ones. This is decided per question, so that a question's answer does not depend on others.
        """
        if self.bounded:
            return self._again_within(self.answerer.options)
        if self.answerer.options.handle_impossible_answer or not all(e.left for e in self._evidence):
            return []
        n = len(self._evidence)
        (number,) = most_promising(
            np.zeros(n, np.int64),
            np.ones(n, bool),
            np.array([e.left_after for e in self._evidence]),
            np.array([e.best_score for e in self._evidence]),
        ).tolist()
        return [Again(number, self._window(number), self._evidence[number].best_block)]

    def _again_within(self, options: RunOptions) -> list[Again]:
        chosen, best = choose_blocks(self._scouted, options.max_blocks or 0)
        self._scouted = {}
        # A question that must have an answer keeps its best block, whatever later predictors say of it.
        protected = dict([best] if best and not options.handle_impossible_answer else [])
        return [Again(n, self._window(n), protected.get(n), blocks) for n, blocks in chosen.items()]

    def _window(self, number: int) -> Window:
        part = self._part_of(number)
        return part.windows[number - part.first]

    def answers(self) -> list[Answer]:
        """Return the answers, best first."""
        return best_answers(self._evidence, self.answerer.options, self.joint)

    def skipped(self) -> list[Skipped]:
        """Return what was skimmed, passage by passage."""
        found: list[Skipped] = []
        for part in self._parts:
            for one in part.skipped.ranges(part.passage.hidden):
                found.append({**one, "passage": part.number} if self.joint else one)
        return found

    def probabilities(self) -> dict[int, npt.NDArray[np.float32]]:
        """Return of each passage with words, by its number, the keep probability of each character of its text: the
        last one that its block got, and the highest of several windows; 0 for one that no token stands for."""
        return {part.number: part.probability[part.passage.hidden :] for part in self._parts}

    def _judge(self, part: _Part, window: Window, result: WindowResult) -> None:
        if not len(part.probability):
            part.probability = np.zeros(len(part.passage.whole), np.float32)
        size = self.answerer.runner.model.block_size
        found = np.repeat(result.keep_probability, size)[window.passage]
        for (start, end), value in zip(window.offsets.tolist(), found.tolist(), strict=True):
            place = part.probability[start:end]
            np.maximum(place, value, out=place)

    def kept_share(self) -> float:
        """Return the share of the work of all layers on passage blocks that was done; a second run counts on top."""
        return self._work / self._most_work if self._most_work else 1.0

    def _part(self, number: int, passage: Passage, windows: Windows) -> _Part:
        model = self.answerer.runner.model
        reader = EvidenceReader(number, passage.whole, passage.hidden, model.cls_token_id, self.answerer.options)
        return _Part(number, passage, windows, self.count, reader, SkippedTokens(model.block_size))

    def _part_of(self, number: int) -> _Part:
        return self._parts[bisect_right(self._parts, number, key=lambda part: part.first) - 1]

    def _whole_work(self, window: Window) -> int:
        blocks = len(window.input_ids) // self.answerer.runner.model.block_size
        return (blocks - window.question_blocks) * self.answerer.runner.model.num_layers
