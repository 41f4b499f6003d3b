"""Questions -> documents of some windows each, made when they are asked for."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bskim_export.data.documents import DocumentMaker
from bskim_export.data.question import Question
from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.windows import WindowMaker
from bskim_export.training.features import Collator, Feature, label_windows

SINGLE = 0.25
"""Share of the questions that are asked of their own passage alone: what the model knows of those must stay."""
APART = 0.25
"""Share of the questions whose passages are cut into windows one by one, as `qa(passages=...)` does it: the model must
also know an empty window that is short."""


@dataclass(frozen=True)
class Sampling:
    """What a question is asked of.

    documents: passages, its own and others
    windows: windows without an answer that are trained on, beside all with one
    seed: of all draws
    evidence: blocks with a token of a supporting fact are positive too
    """

    documents: int
    windows: int
    seed: int
    evidence: bool = False


class DocumentWindows(Sequence[list[Feature]]):
    """The labelled windows of each question, cut from its document.

    Args:
        questions: all can be run
        maker, options: cut windows
        sampling: which of them
    """

    def __init__(self, questions: Sequence[Question], maker: WindowMaker, options: RunOptions, sampling: Sampling):
        self._questions = questions
        self._maker = maker
        self._options = options
        self._sampling = sampling
        self._documents = DocumentMaker(questions, sampling.seed)

    def __len__(self) -> int:
        return len(self._questions)

    def __getitem__(self, number: int) -> list[Feature]:  # type: ignore[override]  # no slices: nothing needs them
        question = self._questions[number]
        draw = random.Random(f"{self._sampling.seed} {question.id} windows")
        kind = draw.random()
        if kind < SINGLE:
            texts = [question]
        elif kind < SINGLE + APART:
            texts = self._documents.passages(question, self._sampling.documents)
        else:
            texts = [self._documents(question, self._sampling.documents)]
        features = [feature for text in texts for feature in self._cut(text)]
        without = [i for i, feature in enumerate(features) if not feature.start]
        left_out = set(without) - set(draw.sample(without, min(self._sampling.windows, len(without))))
        return [feature for i, feature in enumerate(features) if i not in left_out]

    def _cut(self, text: Question) -> list[Feature]:
        options = self._options
        windows = list(self._maker(text.question, text.context, options.max_seq_len, options.doc_stride))
        return label_windows(windows, text, self._maker.model.block_size, self._sampling.evidence)


class DocumentCollator:
    """Makes a batch of the windows of several questions; see `Collator`.

    Returns:
        what a Collator returns, and group: int64 [B], the question of each window
    """

    def __init__(self, collator: Collator):
        self._collator = collator

    def __call__(self, questions: Sequence[list[Feature]]) -> dict[str, Tensor]:
        batch = self._collator([feature for own in questions for feature in own])
        batch["group"] = torch.tensor([i for i, own in enumerate(questions) for _ in own])
        return batch
