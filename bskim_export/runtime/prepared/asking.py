"""Questions to prepared passages: choose blocks, read them, and say what they hold."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NotRequired

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from bskim_export.bundle.manifest import Split
from bskim_export.errors import InputError
from bskim_export.runtime.answering import Answerer
from bskim_export.runtime.arguments import Example
from bskim_export.runtime.asked import Passage, read_passages
from bskim_export.runtime.evidence import Evidence, EvidenceReader
from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.prepared.choosing import runs
from bskim_export.runtime.prepared.collection import Collection, Reading
from bskim_export.runtime.prepared.lower import Lower
from bskim_export.runtime.prepared.passages import question_ids
from bskim_export.runtime.prepared.prepared import Prepared, prepare_passages
from bskim_export.runtime.runner import WindowResult
from bskim_export.runtime.scoring import Answer, best_answers
from bskim_export.runtime.skipped import Skipped, SkippedTokens
from bskim_export.runtime.windows import Window


class DocumentAnswer(Answer):
    """An answer from documents that have names.

    document: the name of the one that holds it; None for the null answer
    """

    document: NotRequired[str | None]


@dataclass(frozen=True)
class SplitAnswerer:
    """What answers questions with a split model. `dataclasses.replace` makes variants.

    tokenizer: the model's
    split: what is known of its lower layers
    identity: of what it prepares, see `prepared.identity_of`
    lower: runs its lower layers
    upper: runs its upper layers, with policy and options
    """

    tokenizer: Tokenizer
    split: Split
    identity: str
    lower: Lower
    upper: Answerer

    def prepare(self, passages: Iterable[Passage], joint: bool, names: Sequence[str] = ()) -> Prepared:
        """Prepare passages; see `prepared.prepare_passages`."""
        model = self.upper.runner.model
        return prepare_passages(passages, self.tokenizer, model, self.lower, self.identity, joint, names)

    def ask(self, items: Iterable[tuple[str, Collection]]) -> "list[PreparedAsked | InputError]":
        """Answer questions together, each about a collection. One that cannot be run gives its error, and does not keep
        the others from running.
        """
        start = time.perf_counter()
        found: list[PreparedAsked | InputError] = []
        for text, collection in items:
            try:
                ids = question_ids(self.tokenizer, text, self.upper.runner.model)
                found.append(PreparedAsked(self, text, collection, ids))
            except InputError as error:
                found.append(error)
        self._choose(found)
        asked = [one for one in found if isinstance(one, PreparedAsked)]
        windows = [reading.window for one in asked for reading in one.readings]
        best = [block for one in asked for block in one.protected()]
        results = iter(self.upper.suited(document=True).run(windows, best))
        for one in asked:
            one.results = [next(results) for _ in one.readings]
        for one in asked:
            one.seconds = time.perf_counter() - start
        return found

    def _choose(self, found: "list[PreparedAsked | InputError]") -> None:
        """Give each question the windows in which it reads, or put its error in its place."""
        model, options = self.upper.runner.model, self.upper.options
        able = [(i, one) for i, one in enumerate(found) if isinstance(one, PreparedAsked)]
        for begin in range(0, len(able), options.batch_size):
            part = able[begin : begin + options.batch_size]
            for (i, one), question in zip(part, self.lower.ask([one.ids for _, one in part]), strict=True):
                try:
                    one.readings = one.collection.readings(
                        question, self.split, model, options.max_blocks, options.max_windows
                    )
                except InputError as error:
                    found[i] = error


@dataclass(eq=False)
class PreparedAsked:
    """One question to a collection, and what became of it."""

    answerer: SplitAnswerer
    question: str
    collection: Collection
    ids: npt.NDArray[np.int64]
    readings: list[Reading] = field(default_factory=list)
    results: list[WindowResult] = field(default_factory=list)
    seconds: float = 0.0
    prepared_here: bool = False
    return_skim: bool = False

    @property
    def options(self) -> RunOptions:
        """Return the settings of the run."""
        return self.answerer.upper.options

    @property
    def count(self) -> int:
        """Return how many windows were read."""
        return len(self.readings)

    def protected(self) -> list[int | None]:
        """Return of each window the block that stays whatever the predictors above say: a question that must have an
        answer keeps its best one."""
        if self.options.handle_impossible_answer:
            return [None] * len(self.readings)
        return [reading.best for reading in self.readings]

    def answers(self) -> list[Answer]:
        """Return the answers, best first."""
        found = best_answers(list(self._evidence()), self.options, self._joint)
        for answer in found:
            passage = answer.get("passage")
            if any(one.names for one in self.collection.parts):
                named = None
                if passage is not None:
                    part, own = self.collection.part_of(passage)
                    named = part.names[own] if part.names else None
                answer["document"] = named  # type: ignore[typeddict-unknown-key]  # a DocumentAnswer
        return found

    @property
    def _joint(self) -> bool:
        """Return whether answers say which passage they are from."""
        parts = self.collection.parts
        return len(parts) > 1 or any(one.joint or one.names for one in parts)

    def _evidence(self) -> Iterator[Evidence]:
        """Yield what each stretch of blocks says. Those of one window share its question, and so its null."""
        for reading, result in zip(self.readings, self.results, strict=True):
            for window, own, passage in self._stretches(reading, result):
                yield self._reader(passage).read(window, own)

    def _stretches(self, reading: Reading, result: WindowResult) -> Iterator[tuple[Window, WindowResult, int]]:
        """Yield each stretch of neighbouring blocks as a window of its own, behind the `[CLS]` of the question."""
        size = self.answerer.upper.runner.model.block_size
        base = reading.window.question_blocks
        for stretch in runs(reading.blocks, self.collection.passage):
            at = base + int(np.searchsorted(reading.blocks, stretch.start))
            part, first = self.collection.place(stretch.start)
            owner = part.passage[first]
            blocks = slice(first, first + len(stretch))
            begin = (first - int(part.first[owner])) * size
            count = min(len(stretch) * size, int(part.tokens[owner]) - begin)
            positions = slice(at * size, at * size + count)
            ids = np.full(count + 1, -1, np.int64)
            ids[0] = reading.window.input_ids[0]
            window = Window(
                input_ids=ids,
                token_type_ids=ids,
                position_ids=ids,
                length=len(ids),
                question_length=1,
                question_blocks=0,
                may_leave=False,
                offsets=part.offsets[blocks].reshape(-1, 2)[:count],
                words=part.words[blocks].reshape(-1)[:count],
                is_first=begin == 0,
                is_last=begin + count == int(part.tokens[owner]),
            )
            logits = [
                np.concatenate([values[:1], values[positions]]) for values in (result.start_logits, result.end_logits)
            ]
            dropped = result.dropped_after[at : at + len(stretch)]
            yield window, WindowResult(logits[0], logits[1], dropped), int(self.collection.passage[stretch.start])

    def _reader(self, passage: int) -> EvidenceReader:
        part, own = self.collection.part_of(passage)
        text = part.passages[own]
        cls = self.answerer.upper.runner.model.cls_token_id
        options = self.options
        return EvidenceReader(passage, text.whole, text.hidden, cls, options, part.characters(own))

    def kept_share(self) -> float:
        """Return the share of the work of all layers on passage blocks that was done for this question: that of the
        lower layers counts if the passages were prepared for it. Blocks that two windows share count twice. Predictors
        do not count, as elsewhere, nor does the layer of the retrieval predictor."""
        layers, split = self.answerer.upper.runner.model.num_layers, self.answerer.split.layer
        blocks = len(self.collection)
        work = blocks * split if self.prepared_here else 0
        for reading, result in zip(self.readings, self.results, strict=True):
            dropped = result.dropped_after[reading.window.question_blocks :].astype(np.int64) + 1
            work += int((np.minimum(dropped, layers) - split).sum())
        twice = sum(len(one.blocks) for one in self.readings) - len({n for one in self.readings for n in one.blocks})
        return work / (blocks * layers + twice * (layers - split))

    def skipped(self) -> list[Skipped]:
        """Return what was skimmed, passage by passage: what was not read ends with the last lower layer."""
        size = self.answerer.upper.runner.model.block_size
        last = np.full(len(self.collection), self.answerer.split.layer - 1, np.int16)
        for reading, result in zip(self.readings, self.results, strict=True):
            own = result.dropped_after[reading.window.question_blocks :]
            last[reading.blocks] = np.maximum(last[reading.blocks], own)
        found: list[Skipped] = []
        joint = self._joint
        start = before = 0
        for part in self.collection.parts:
            for number, passage in enumerate(part.passages):
                first, stop = int(part.first[number]), int(part.first[number + 1])
                count = int(part.tokens[number])
                tokens = SkippedTokens(size)
                offsets = part.offsets[first:stop].reshape(-1, 2)[:count]
                tokens.take(0, offsets, np.repeat(last[start + first : start + stop], size)[:count])
                for one in tokens.ranges(passage.hidden):
                    found.append({**one, "passage": before + number} if joint else one)
            start += len(part)
            before += len(part.passages)
        return found


def prepare_item(answerer: SplitAnswerer, item: Example) -> Collection:
    """Prepare what a question is asked of, for that question alone."""
    joint = item.passages is not None
    passages = read_passages(item.passages) if item.passages is not None else [Passage(item.context)]
    return Collection([answerer.prepare(passages, joint)], answerer.identity)


def ask_items(
    answerer: SplitAnswerer,
    items: Iterable[Example | InputError],
    prepared: Collection | None,
    return_skim: bool = False,
) -> Iterator[PreparedAsked | InputError]:
    """Answer questions, and yield each when it is done, in order; or the error that it met, in its place.

    Args:
        prepared: what they are all asked of; None to prepare each one's own context or passages
    """
    waiting: list[tuple[str, Collection] | InputError] = []
    last: tuple[Example, Collection] | None = None
    for item in items:
        if isinstance(item, InputError):
            waiting.append(item)
        elif prepared is not None:
            waiting.append((item.question, prepared))
        else:
            # Many questions about one context, or one list of passages: it is prepared once.
            if last is None or not _is_of_one(item, last[0]):
                try:
                    last = (item, prepare_item(answerer, item))
                except InputError as error:
                    waiting.append(error)
                    continue
            waiting.append((item.question, last[1]))
        if len(waiting) >= answerer.upper.options.batch_size:
            yield from _ask_together(answerer, waiting, prepared is None, return_skim)
            waiting = []
    yield from _ask_together(answerer, waiting, prepared is None, return_skim)


def _is_of_one(item: Example, other: Example) -> bool:
    """Return whether two questions are about the same text."""
    if item.passages is None or other.passages is None:
        return item.passages is other.passages and item.context == other.context
    return item.passages is other.passages and isinstance(item.passages, (list, tuple))


def _ask_together(
    answerer: SplitAnswerer,
    waiting: Sequence[tuple[str, Collection] | InputError],
    prepared_here: bool,
    return_skim: bool,
) -> Iterator[PreparedAsked | InputError]:
    """Run questions together. One that cannot be run does not keep the others from running."""
    able = [one for one in waiting if not isinstance(one, InputError)]
    answered = iter(answerer.ask(able))
    for one in waiting:
        done = one if isinstance(one, InputError) else next(answered)
        if isinstance(done, PreparedAsked):
            done.prepared_here = prepared_here
            done.return_skim = return_skim
        yield done


def whole(answerer: SplitAnswerer) -> SplitAnswerer:
    """Return one that reads every block of its passages: DeFormer as its paper has it, nothing chosen or dropped."""
    options = replace(answerer.upper.options, max_blocks=1 << 30)
    return replace(answerer, upper=replace(answerer.upper, options=options, policy=None))
