"""The figures of a split model in training: held-out questions, asked of prepared documents as the runtime does it."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bskim_export.bundle.manifest import Graph, Model, Split
from bskim_export.bundle.split_graph import PREPARE, QUESTION, prepare_specs, question_specs
from bskim_export.data.documents import by_paragraph, join, moved
from bskim_export.data.metrics import evaluate as score
from bskim_export.data.question import Question
from bskim_export.errors import InputError
from bskim_export.evaluate.retrieval import best_rank, with_answer
from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.model.retrieval import PART, WIDTH
from bskim_export.model.split import split_layer
from bskim_export.runtime.answering import Answerer
from bskim_export.runtime.asked import Passage
from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.prepared.asking import SplitAnswerer
from bskim_export.runtime.prepared.collection import Collection
from bskim_export.runtime.windows import WindowMaker
from bskim_export.training.dense_runner import JudgedResult
from bskim_export.training.evaluate import ModelFigures
from bskim_export.training.features import NO_LABEL
from bskim_export.training.objective import block_figures, count_blocks
from bskim_export.training.split_data import ROOM
from bskim_export.training.split_runner import SplitRunner, TorchLower

PARAGRAPHS = 20
"""Of a document that held-out questions are asked of."""
WINDOW_BLOCKS = 7
"""That are read together at most. Two windows of 7 answer far better than one of 14 (docs/lab.md), and side by side."""
FIRST = (4, 16)
"""Numbers of best blocks among which those with an answer are looked for."""


class SplitEvaluation:
    """Scores a split model on the same questions each time. Of the blocks that are read, none is dropped.

    Consecutive paragraphs are joined to documents of some PARAGRAPHS, each prepared once and asked all its questions.

    Args:
        questions: with gold answers; all can be run
        maker: cuts windows
        options: settings of answers; the null answer is allowed if a question has no answer
    """

    def __init__(self, questions: Sequence[Question], maker: WindowMaker, options: RunOptions):
        self._documents = as_documents(questions)
        self._maker = maker
        self._options = options.allowing_null(not all(q.answers for q in questions))

    def __call__(self, model: BlockSkimForQuestionAnswering) -> ModelFigures:
        """Return the figures of a model, which is left in evaluation mode."""
        model.eval()
        answerer = self._answerer(model)
        texts: list[str] = []
        ranks: list[int] = []
        labels: list[Tensor] = []
        judged: dict[int, list[Tensor]] = {layer: [] for layer in model.skim.layers}
        for questions in self._documents:
            passages = [Passage(questions[0].context)]
            collection = Collection([answerer.prepare(passages, joint=False)], answerer.identity)
            done = answerer.ask([(q.question, collection) for q in questions])

            # Where are the blocks with an answer, and what do the skim predictors make of those that were read?
            for question, one in zip(questions, done, strict=True):
                if isinstance(one, InputError):
                    raise InputError(f"Question '{question.id}': {one}")
                texts.append(one.answers()[0]["answer"])
                positive = with_answer(collection, question)
                if (rank := best_rank(answerer, question, collection, positive)) is not None:
                    ranks.append(rank)
                for reading, result in zip(one.readings, one.results, strict=True):
                    assert isinstance(result, JudgedResult)  # a SplitRunner returns no others
                    asked = np.full(reading.window.question_blocks, NO_LABEL)
                    labels.append(torch.from_numpy(np.concatenate([asked, positive[reading.blocks]])))
                    for layer, own in judged.items():
                        own.append(result.skim_logits[layer])
        scores = score(texts, [q.gold for questions in self._documents for q in questions])
        counts = count_blocks({layer: torch.cat(own) for layer, own in judged.items()}, torch.cat(labels))
        predictors = {layer: block_figures(*row) for layer, row in zip(judged, counts.tolist(), strict=True)}
        retrieved = {blocks: float(np.mean([rank < blocks for rank in ranks])) for blocks in FIRST} if ranks else {}
        return {**scores, "predictors": predictors, "retrieved": retrieved}

    def _answerer(self, model: BlockSkimForQuestionAnswering) -> SplitAnswerer:
        own = self._maker.model
        upper = Answerer(self._maker, SplitRunner(model, own), None, self._options)
        lower = TorchLower(model, own)
        return SplitAnswerer(self._maker.tokenizer, describe_split(model, own), "in training", lower, upper)


def describe_split(model: BlockSkimForQuestionAnswering, description: Model) -> Split:
    """Return how a split model is run, as the manifest of its bundle will say it."""
    parts = model.skim.block_size // PART
    return Split(
        split_layer(model),
        1,  # as RetrievalPredictor has
        parts,
        WIDTH,
        max(ROOM),
        WINDOW_BLOCKS,
        Graph(PREPARE, *prepare_specs(description, parts, WIDTH, "fp32")),
        Graph(QUESTION, *question_specs(description, WIDTH, "fp32")),
    )


def as_documents(questions: Sequence[Question], size: int = PARAGRAPHS) -> list[list[Question]]:
    """Return the questions of each document, asked of it: at most `size` paragraphs, those of a title together.

    Documents have as many paragraphs as each other, or one less.

    Example:
        >>> four = [Question(text, "Who?", f"{text}.", (text,), (0,)) for text in ("Ada", "Bob", "Eve")]
        >>> [[(q.context, q.starts) for q in one] for one in as_documents(four, 2)]
        [[('Ada.', (0,))], [('Bob.\\n\\nEve.', (0,)), ('Bob.\\n\\nEve.', (6,))]]
    """
    paragraphs = [(text, own) for title in by_paragraph(questions).values() for text, own in title.items()]
    documents = []
    count = -(-len(paragraphs) // size)
    for i in range(count):
        part = paragraphs[i * len(paragraphs) // count : (i + 1) * len(paragraphs) // count]
        whole, places = join(text for text, _ in part)
        documents.append([moved(q, whole, places) for _, own in part for q in own])
    return documents
