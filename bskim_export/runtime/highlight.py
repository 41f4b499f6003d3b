"""Keep what matters of retrieved text: the sentences that the skim predictors would keep, and how sure they are.

The predictors judge blocks; a sentence's probability is the mean of what its characters' blocks got last. It serves
those who give a language model only the relevant part of what was retrieved, as Provence does (Chirkova et al. 2025).
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from bskim_export.errors import BundleError, InputError
from bskim_export.runtime.answering import Answerer
from bskim_export.runtime.asked import Asked, Passage
from bskim_export.runtime.asking import ask_all
from bskim_export.runtime.policy import check_threshold
from bskim_export.runtime.sentences import LANGUAGE, sentence_ranges

THRESHOLD = 0.1
"""Probability from which a sentence is kept."""


class Sentence(TypedDict):
    """A sentence of a passage.

    start, end: character offsets into the passage's text
    probability: that it matters, 0 to 1
    kept: whether it was kept
    """

    start: int
    end: int
    probability: float
    kept: bool


class HighlightedPassage(TypedDict):
    """What is kept of a passage.

    index: its number
    score: the probability of its best sentence; 0 for a passage without one
    text: its kept sentences, with the white space that was between them where nothing was cut, else with a space
    compression: the share of its characters that was cut, 0 to 1
    sentences: all of them, in order
    """

    index: int
    score: float
    text: str
    compression: float
    sentences: list[Sentence]


class Highlights(TypedDict):
    """What is kept of all passages.

    passages: in the order in which they came
    compression: the share of all characters that was cut, 0 to 1
    """

    passages: list[HighlightedPassage]
    compression: float


class Highlighter:
    """A question whose passages are judged; see `QAPipeline.highlight`.

    Attributes:
        asked: must be run, then `found` tells what is kept

    Raises:
        InputError: an argument cannot be used.
        BundleError: nothing judges the passages.
    """

    def __init__(
        self,
        answerer: Answerer,
        question: str,
        passages: Iterable[Passage],
        threshold: float | None = None,
        keep: float | None = None,
        language: str = LANGUAGE,
    ):
        if threshold is not None and keep is not None:
            raise InputError("Pass either `threshold` or `keep`, not both.")
        if not answerer.suited(document=True).scored_layers:
            raise BundleError(
                "Nothing judges the passages: the bundle has no skim predictors, or all of its thresholds are 0. Open "
                "it with a threshold, as in QAPipeline(bundle, threshold=0.01)."
            )
        if not isinstance(language, str):
            raise InputError(f"`language` must be a string like 'en', got {type(language).__name__}.")
        self._least = check_threshold(THRESHOLD if threshold is None else threshold)
        self._keep = None if keep is None else check_threshold(keep, "keep")
        self._language = language
        self._texts: list[str] = []
        self.asked = Asked(answerer, question, _noted(passages, self._texts), joint=True, judge=True)

    def run(self) -> Highlights:
        """Run the question, and return the sentences that matter. Raises InputError, as `QAPipeline.highlight` does."""
        (outcome,) = ask_all(self.asked.answerer, [self.asked])
        if isinstance(outcome, InputError):
            raise outcome
        return self.found()

    def found(self) -> Highlights:
        """Return the sentences that matter, once the question was run."""
        judged = self.asked.probabilities()
        cut = [sentence_ranges(text, self._language) for text in self._texts]
        probability = [_means(judged.get(i), ranges) for i, ranges in enumerate(cut)]
        least = self._least if self._keep is None else _threshold_for(self._keep, cut, probability)
        found = [
            _highlighted(i, text, ranges, own, least)
            for i, (text, ranges, own) in enumerate(zip(self._texts, cut, probability, strict=True))
        ]
        whole = sum(len(text) for text in self._texts)
        kept = sum(len(one["text"]) for one in found)
        return {"passages": found, "compression": 1 - kept / whole if whole else 0.0}


def _noted(passages: Iterable[Passage], texts: list[str]) -> Iterable[Passage]:
    for passage in passages:
        texts.append(passage.text)
        yield passage


def _means(judged: npt.NDArray[np.float32] | None, ranges: Sequence[tuple[int, int]]) -> list[float]:
    """Return the mean probability of each range of characters; 0 for a passage that has no words."""
    if judged is None:
        return [0.0] * len(ranges)
    sums = np.concatenate([[0.0], np.cumsum(judged, dtype=np.float64)])
    counts = np.concatenate([[0], np.cumsum(judged > 0)])
    means = []
    for start, end in ranges:
        tokens = int(counts[end] - counts[start])  # characters that some token stands for
        mean = (sums[end] - sums[start]) / tokens if tokens else 0.0
        means.append(float(min(1.0, max(0.0, mean))))
    return means


def _threshold_for(
    share: float, cut: Sequence[Sequence[tuple[int, int]]], probability: Sequence[Sequence[float]]
) -> float:
    """Return the highest threshold at which at least so large a share of all sentences' characters is kept."""
    length = np.array([end - start for ranges in cut for start, end in ranges])
    value = np.array([p for own in probability for p in own])
    if not len(value) or share == 0:
        return float(np.nextafter(1.0, 2.0))
    order = np.argsort(-value, kind="stable")
    kept = np.cumsum(length[order])
    place = int(np.searchsorted(kept, share * kept[-1] - 1e-9))
    return float(value[order[min(place, len(order) - 1)]])


def _highlighted(
    index: int, text: str, ranges: Sequence[tuple[int, int]], probability: Sequence[float], least: float
) -> HighlightedPassage:
    sentences: list[Sentence] = [
        {"start": start, "end": end, "probability": p, "kept": p >= least}
        for (start, end), p in zip(ranges, probability, strict=True)
    ]
    kept = kept_text(text, sentences, least)
    return {
        "index": index,
        "score": max((s["probability"] for s in sentences), default=0.0),
        "text": kept,
        "compression": 1 - len(kept) / len(text) if text else 0.0,
        "sentences": sentences,
    }


def kept_text(text: str, sentences: Sequence[Sentence], least: float) -> str:
    """Return the sentences of at least some probability, with the white space between neighbours, else with a space."""
    parts: list[str] = []
    before: Sentence | None = None
    for i, one in enumerate(sentences):
        if one["probability"] >= least:
            if before is not None:
                neighbours = sentences[i - 1] is before
                parts.append(text[before["end"] : one["start"]] if neighbours else " ")
            parts.append(text[one["start"] : one["end"]])
            before = one
    return "".join(parts)


def as_provence(
    texts: Sequence[str],
    found: Highlights,
    title: str | None,
    always_select_title: bool,
    return_sentence_metrics: bool,
    return_sentence_texts: bool,
) -> list[dict[str, Any]]:
    """Return what is kept of each text in the words of Provence and OpenProvence; see `QAPipeline.process`."""
    rows: list[dict[str, Any]] = []
    for text, one in zip(texts, found["passages"], strict=True):
        pruned = one["text"]
        if title and (always_select_title or pruned):
            pruned = f"{title}\n{pruned}" if pruned else title
        row: dict[str, Any] = {
            "pruned_context": pruned,
            "reranking_score": one["score"],
            "compression_rate": 100 * one["compression"],
        }
        if return_sentence_metrics:
            row["sentence_probabilities"] = [s["probability"] for s in one["sentences"]]
        if return_sentence_texts:
            row["kept_sentences"] = [text[s["start"] : s["end"]] for s in one["sentences"] if s["kept"]]
            row["removed_sentences"] = [text[s["start"] : s["end"]] for s in one["sentences"] if not s["kept"]]
        rows.append(row)
    return rows
