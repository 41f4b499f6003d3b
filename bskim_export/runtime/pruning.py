"""The methods of a QAPipeline that prune retrieved text instead of answering from it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Unpack

from bskim_export.errors import InputError, only_own_errors
from bskim_export.runtime.answering import Answerer
from bskim_export.runtime.arguments import parse_call
from bskim_export.runtime.asked import Passage, read_passages
from bskim_export.runtime.highlight import THRESHOLD, Highlighter, Highlights, as_provence
from bskim_export.runtime.options import GivenOptions, RunOptions
from bskim_export.runtime.sentences import LANGUAGE


class Pruning(ABC):
    """Prunes passages with what a QAPipeline is made of."""

    _turn: AbstractContextManager[Any]

    @abstractmethod
    def options(self, top_k: int = 1, **given: Unpack[GivenOptions]) -> RunOptions:
        """Return the settings of a run."""

    @abstractmethod
    def answerer(self, options: RunOptions | None = None) -> Answerer:
        """Return the parts of the pipeline at some settings."""

    @only_own_errors
    def highlight(
        self,
        question: str,
        passages: Any,
        *,
        threshold: float | None = None,
        keep: float | None = None,
        language: str = LANGUAGE,
        max_seq_len: int | None = None,
        doc_stride: int | None = None,
        batch_size: int | None = None,
        max_windows: int | None = None,
    ) -> Highlights:
        """Keep the sentences of retrieved passages that matter to a question, say for the prompt of a language model.

        Args:
            passages: as for `run`
            threshold: probability from which a sentence is kept; default: 0.1
            keep: instead, the share of the text to keep, 0 to 1: the best sentences of all passages
            language: whose abbreviations are known, when sentences are cut
            max_seq_len, doc_stride, batch_size, max_windows: as for `run`

        Returns:
            {"passages": [{"index", "score", "text", "compression", "sentences"}], "compression"}; see
            `highlight.Highlights`. A sentence has "start", "end", "probability" and "kept".

        Raises:
            InputError: an argument cannot be used, or no passage has words.
            BundleError: the bundle has no skim predictors that run, or its engines fail.
            MissingExtraError: the library that cuts sentences is not installed.

        Example:
            >>> qa.highlight("Who wrote it?", ["It was long. Ada wrote it."])["passages"][0]["text"]  # doctest: +SKIP
            'Ada wrote it.'
        """
        options = self.options(
            max_seq_len=max_seq_len, doc_stride=doc_stride, batch_size=batch_size, max_windows=max_windows
        )
        asked, own = _read_call(question, passages)
        with self._turn:
            return Highlighter(self.answerer(options), asked, own, threshold, keep, language).run()

    @only_own_errors
    def process(
        self,
        question: str,
        context: Any,
        title: str | None = None,
        threshold: float = THRESHOLD,
        always_select_title: bool = False,
        return_sentence_metrics: bool = False,
        return_sentence_texts: bool = False,
    ) -> dict[str, Any]:
        """Prune contexts with the arguments and results of Provence and OpenProvence, to stand in their place.

        Args:
            context: a string, or a list of strings, which are judged jointly
            title: of the contexts, read before each
            threshold: probability from which a sentence is kept
            always_select_title: put the title before each pruned context, even if nothing of it is kept
            return_sentence_metrics: add "sentence_probabilities"
            return_sentence_texts: add "kept_sentences" and "removed_sentences"

        Returns:
            {"pruned_context", "reranking_score", "compression_rate"}; for a list, each is a list. The score is the
            probability of the best sentence, the rate is the percentage of characters that was cut.

        Raises:
            as `highlight` does.
        """
        given = [context] if isinstance(context, str) else context
        texts = [passage.text for passage in _read_call(question, given)[1]]
        found = self.highlight(question, [{"title": title, "text": text} for text in texts], threshold=threshold)
        rows = as_provence(texts, found, title, always_select_title, return_sentence_metrics, return_sentence_texts)
        return rows[0] if isinstance(context, str) else {name: [row[name] for row in rows] for name in rows[0]}


def _read_call(question: Any, passages: Any) -> tuple[str, Iterator[Passage]]:
    """Return a question and its passages, which are read when their turn comes. Raises InputError if they are none."""
    call = parse_call((), question, None, None, passages)
    if call.several:
        raise InputError("Pass one question, as a string: passages are pruned for one question at a time.")
    (one,) = call.items
    if isinstance(one, InputError):
        raise one
    return one.question, read_passages(one.passages or ())
