"""How well a split model chooses: where the blocks with an answer stand among all that were scored."""

import numpy as np
import numpy.typing as npt

from bskim_export.data.question import Question
from bskim_export.runtime.prepared.asking import SplitAnswerer
from bskim_export.runtime.prepared.collection import Collection
from bskim_export.runtime.prepared.passages import question_ids
from bskim_export.runtime.token_ranges import overlapping


def with_answer(collection: Collection, question: Question) -> npt.NDArray[np.int64]:
    """Return which blocks of a document hold a token of an answer, 1 or 0, int64 [N]."""
    (document,) = collection.parts
    offsets = document.offsets.reshape(-1, 2)[: int(document.tokens[0])].astype(np.int64)
    positive = np.zeros(len(collection), np.int64)
    for start, text in zip(question.starts, question.answers, strict=True):
        positive[overlapping(offsets, start, start + len(text)) // document.words.shape[1]] = 1
    return positive


def best_rank(
    answerer: SplitAnswerer, question: Question, collection: Collection, positive: npt.NDArray[np.int64]
) -> int | None:
    """Return how many blocks have a higher score than the best with an answer; None if none has one.

    Args:
        positive: int64 [N], see `with_answer`
    """
    if not positive.any():
        return None
    ids = question_ids(answerer.tokenizer, question.question, answerer.upper.runner.model)
    (asked,) = answerer.lower.ask([ids])
    scores = collection.scores(asked)
    return int((scores > scores[positive == 1].max()).sum())
