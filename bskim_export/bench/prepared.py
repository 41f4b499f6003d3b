"""What it costs and what it gives to ask prepared documents: beside reading them whole, and beside an unsplit model."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from bskim_export.data.metrics import f1
from bskim_export.data.question import Question
from bskim_export.errors import InputError
from bskim_export.evaluate.retrieval import best_rank, with_answer
from bskim_export.evaluate.timing import seconds_of, take_turns
from bskim_export.runtime.arguments import Example
from bskim_export.runtime.pipeline import QAPipeline
from bskim_export.runtime.prepared.asking import PreparedAsked, SplitAnswerer, ask_items, whole
from bskim_export.runtime.prepared.collection import Collection
from bskim_export.runtime.prepared.prepared import Prepared

FIRST = (1, 4, 16, 32)
"""The answer's block is looked for among so many of the best ones."""


@dataclass
class Row:
    """One way to answer, and its figures.

    f1: of each question, in percent
    seconds: of each question that was timed
    """

    name: str
    f1: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def run(self, way: Callable[[], str], question: Question) -> str:
        """Answer a question, note how long it took and how right it was, and return the answer."""
        start = time.perf_counter()
        text = way()
        self.seconds.append(time.perf_counter() - start)
        self.f1.append(100 * f1(text, question.gold))
        return text

    def figures(self) -> dict[str, Any]:
        """Return its figures."""
        return {
            "name": self.name,
            "questions": len(self.f1),
            "f1": float(np.mean(self.f1)) if self.f1 else None,
            "seconds": float(np.median(self.seconds)) if self.seconds else None,
            "total_seconds": float(np.sum(self.seconds)),
        }


@dataclass
class PreparedReport:
    """The figures of some documents and their questions.

    rows: ways to answer; see `measure`
    documents, blocks, tokens: what was prepared
    nbytes, int8_nbytes: that it takes, with states in fp16 and in int8
    differ: questions whose answer is another one if the document is not prepared ahead, and they are asked in batches
    prepare_seconds: of each document
    lower_seconds: of each question that the unsplit model answered too: its time for as many layers as prepare it
    lower_prepare_seconds: of the same, the time to prepare its document
    ranks: of each question with an answer, how many blocks are ahead of the best one that holds it
    """

    rows: list[Row]
    documents: int = 0
    blocks: int = 0
    tokens: int = 0
    nbytes: int = 0
    int8_nbytes: int = 0
    differ: int = 0
    prepare_seconds: list[float] = field(default_factory=list)
    lower_seconds: list[float] = field(default_factory=list)
    lower_prepare_seconds: list[float] = field(default_factory=list)
    ranks: list[int] = field(default_factory=list)

    def note(self, prepared: Prepared, seconds: float) -> None:
        """Note a document that was prepared."""
        self.documents += 1
        self.blocks += len(prepared)
        self.tokens += int(prepared.tokens.sum())
        self.nbytes += prepared.nbytes
        self.prepare_seconds.append(seconds)

    def found(self, first: int) -> float:
        """Return the share of questions whose answer's block is among the first ones."""
        return float(np.mean(np.array(self.ranks) < first)) if self.ranks else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the figures by name."""
        chosen, dense = self.rows[0].figures(), self.rows[-1].figures()
        figures: dict[str, Any] = {
            "rows": [row.figures() for row in self.rows],
            "documents": self.documents,
            "blocks_per_document": self.blocks / max(1, self.documents),
            "bytes_per_token": self.nbytes / max(1, self.tokens),
            "int8_bytes_per_token": self.int8_nbytes / max(1, self.tokens),
            "differ_unprepared": self.differ,
            "prepare_seconds": float(np.median(self.prepare_seconds)) if self.prepare_seconds else None,
            "found": {str(n): self.found(n) for n in FIRST},
        }
        if self.lower_seconds and dense["seconds"] and chosen["seconds"]:
            whole_time = float(np.sum(self.lower_seconds))
            figures["prepare_over_lower"] = float(np.sum(self.lower_prepare_seconds)) / whole_time
            figures["dense_over_question"] = dense["seconds"] / chosen["seconds"]
            figures["break_even_questions"] = figures["prepare_seconds"] / (dense["seconds"] - chosen["seconds"])
        return figures


def measure(
    qa: QAPipeline,
    questions: Sequence[Question],
    against: QAPipeline | None = None,
    timed: int | None = None,
    max_blocks: Sequence[int] = (),
    progress: Callable[[int], object] = lambda done: None,
) -> PreparedReport:
    """Ask questions of prepared documents, one at a time, in turns with other ways to answer them.

    The rows: the best blocks at the bundle's own number, from states in fp16 and in int8, and at other numbers; every
    block of the split model (DeFormer); and an unsplit model without skimming.

    Args:
        qa: of a split model
        questions: those of one context are asked of one document
        against: of the unsplit model
        timed: questions that the rows which read whole documents answer, spread over all; default: all
        max_blocks: further numbers of blocks
        progress: called with the number of questions that were just done

    Raises:
        InputError: a question cannot be run.
    """
    ours = qa.split_answerer()
    chosen = [(Row(f"{n or ours.split.max_blocks} blocks"), qa.split_answerer(qa.options(max_blocks=n)))
              for n in (None, *max_blocks)]  # fmt: skip
    int8, every, dense = Row(f"{ours.split.max_blocks} blocks, int8 states"), Row("every block"), Row("unsplit, dense")
    rows = [chosen[0][0], int8, *(row for row, _ in chosen[1:]), every]
    report = PreparedReport([*rows, *([dense] if against is not None else [])])
    by_context: dict[str, list[Question]] = {}
    for question in questions:
        by_context.setdefault(question.context, []).append(question)
    step = max(1, len(questions) // timed) if timed else 1
    turn = 0
    for context, own in by_context.items():
        collection, seconds = _prepare(qa, context)
        report.note(collection.parts[0], seconds)
        smaller = Collection([one.to_int8() for one in collection.parts], ours.identity)
        report.int8_nbytes += smaller.parts[0].nbytes
        texts = []
        for question in own:
            ways = [(row, partial(_answer, way, question, collection)) for row, way in chosen]
            ways.append((int8, partial(_answer, ours, question, smaller)))
            slow = turn % step == 0
            if slow:
                ways.append((every, partial(_answer, whole(ours), question, collection)))
            if slow and against is not None:
                ways.append((dense, partial(_dense, against, question)))
            for row, way in take_turns(ways, turn):
                text = row.run(way, question)
                if row is rows[0]:
                    texts.append(text)
            if slow and against is not None:
                # It reads the document anew for each question: what its lower layers take is their share of that time.
                share = (ours.split.layer + ours.split.retrieval_layers) / qa.bundle.model.num_layers
                report.lower_seconds.append(dense.seconds[-1] * share)
                report.lower_prepare_seconds.append(_prepare(qa, context)[1])
            rank = best_rank(ours, question, collection, with_answer(collection, question))
            if rank is not None:
                report.ranks.append(rank)
            turn += 1
            progress(1)
        # The same once more, without preparing it ahead, and in batches.
        together = ask_items(ours, [Example(question.question, context) for question in own], None)
        report.differ += sum(_best(done) != text for done, text in zip(together, texts, strict=True))
    return report


def _prepare(qa: QAPipeline, context: str) -> tuple[Collection, float]:
    found: list[Any] = []
    seconds = seconds_of(lambda: found.append(qa.prepare(context)))
    return Collection(found, found[0].identity), seconds


def _answer(answerer: SplitAnswerer, question: Question, collection: Collection) -> str:
    (done,) = ask_items(answerer, [Example(question.question, question.context)], collection)
    return _best(done)


def _best(done: PreparedAsked | InputError) -> str:
    if not isinstance(done, PreparedAsked):
        raise done
    return done.answers()[0]["answer"]


def _dense(qa: QAPipeline, question: Question) -> str:
    return str(qa(question=question.question, context=question.context)["answer"])
