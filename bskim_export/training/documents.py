"""Questions -> documents of some windows each, made when they are asked for."""

import math
import random
from collections import Counter
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
    windows: windows without an answer that are trained on, beside all with one: half of them those most like the
        question, see `likeness`, the others any
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
        others: those whose paragraphs stand beside a question's own, in the order of their files; default: `questions`
    """

    def __init__(
        self,
        questions: Sequence[Question],
        maker: WindowMaker,
        options: RunOptions,
        sampling: Sampling,
        others: Sequence[Question] = (),
    ):
        self._questions = questions
        self._maker = maker
        self._options = options
        self._sampling = sampling
        self._documents = DocumentMaker(others or questions, sampling.seed)

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
        stay = {i for i, feature in enumerate(features) if feature.start}
        stay |= self._without_answer(features, draw)
        return [features[i] for i in sorted(stay)]

    def _without_answer(self, features: Sequence[Feature], draw: random.Random) -> set[int]:
        """Return the numbers of the windows without an answer that are trained on."""
        without = [i for i, feature in enumerate(features) if not feature.start]
        wanted = self._sampling.windows
        # A window about other things is told apart after a few steps; from those like the question there is to learn.
        like = likeness(features)
        without.sort(key=lambda i: -like[i])
        hardest = without[: (wanted + 1) // 2]
        rest = without[len(hardest) :]
        return {*hardest, *draw.sample(rest, min(wanted - len(hardest), len(rest)))}

    def _cut(self, text: Question) -> list[Feature]:
        options = self._options
        windows = list(self._maker(text.question, text.context, options.max_seq_len, options.doc_stride))
        return label_windows(windows, text, self._maker.model.block_size, self._sampling.evidence)


def likeness(features: Sequence[Feature]) -> list[float]:
    """Return how much each window of a question's document has in common with the question.

    The sum over the question's different tokens that stand in the window's passage, each with the logarithm of windows
    over windows that have it: the inverse document frequency of retrieval, within the document.
    """
    asked = [set(f.input_ids[: f.question_length].tolist()) for f in features]
    shared = [own & set(f.input_ids[f.question_length :].tolist()) for f, own in zip(features, asked, strict=True)]
    windows = Counter(token for tokens in shared for token in tokens)
    return [sum(math.log(len(features) / windows[token]) for token in tokens) for tokens in shared]


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
