"""QAPipeline: questions and contexts in, answers out."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Unpack, overload

from tokenizers import Tokenizer

from bskim_export.backends.base import Backend
from bskim_export.backends.choose import choose_backend
from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.integrity import RECOPY
from bskim_export.errors import BundleError
from bskim_export.runtime.answering import Answerer
from bskim_export.runtime.arguments import parse_examples
from bskim_export.runtime.highlight import skipped_ranges
from bskim_export.runtime.options import BATCH_SIZE, GivenOptions, RunOptions
from bskim_export.runtime.orchestrator import Orchestrator
from bskim_export.runtime.policy import Policy, Thresholds, check_threshold
from bskim_export.runtime.scoring import Answer
from bskim_export.runtime.windows import WindowMaker

log = logging.getLogger("bskim_export")


class CallOptions(GivenOptions, total=False):
    """Options of a call, beside its questions and `top_k`; see `QAPipeline.run`."""

    return_skim: bool
    max_question_len: int | None
    padding: str | bool | None


class QAPipeline:
    """Extractive question answering from a bundle, with the arguments and results of the question-answering pipeline
    that transformers removed in 5.3. Needs neither torch nor transformers. Safe to call from several threads.

    Args:
        bundle: the directory that bskim-export wrote, or a Bundle that is open
        threads: threads for one operator; default: the cores this process may use
        batch_size: windows that run together; answers do not depend on it
        threshold: 0 (the dense model) to 1, for every layer; default: the bundle's own thresholds
        backend: runs the graphs; default: the one that the bundle holds engines for, if that runs here, else ONNX
            Runtime on the CPU

    Attributes:
        bundle: the open bundle
        orchestrator: runs its stages
        policy: its thresholds, or the one that was passed
        backend_reason: says why it is this backend

    Raises:
        BundleError: the bundle is missing, incomplete, damaged or of another version.
        InputError: the threshold or the batch size cannot be used.

    Example:
        >>> qa = QAPipeline("engines/")  # doctest: +SKIP
        >>> qa(question="Who wrote it?", context="Ada wrote it in 1843.")  # doctest: +SKIP
        {'score': 0.98, 'start': 0, 'end': 3, 'answer': 'Ada'}
    """

    def __init__(
        self,
        bundle: str | Path | Bundle,
        *,
        threads: int | None = None,
        batch_size: int = BATCH_SIZE,
        threshold: float | None = None,
        backend: Backend | None = None,
    ):
        by_threshold = None if threshold is None else check_threshold(threshold)
        self.bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
        thresholds = self.bundle.thresholds
        if by_threshold is not None:
            thresholds = dict.fromkeys(thresholds, by_threshold)
        self.policy: Policy = Thresholds(thresholds)
        self._batch_size = batch_size
        self.options()  # refuses a batch size that cannot be used, before anything is loaded
        self.backend_reason = "it was asked for"
        if backend is None:
            backend, self.backend_reason = choose_backend(self.bundle.manifest, threads)
            log.info("%s runs '%s': %s.", backend.name, self.bundle.folder, self.backend_reason)
        self.maker = WindowMaker(_read_tokenizer(self.bundle), self.bundle.model)
        self.orchestrator = Orchestrator(self.bundle, backend)
        skims = any(self.policy.scores(layer) for layer in self.bundle.skim_layers)
        self.orchestrator.load(dense=not skims, skim=skims)

    def options(self, top_k: int = 1, **given: Unpack[GivenOptions]) -> RunOptions:
        """Return the settings of a run: the bundle's defaults, but for those that are given. See RunOptions."""
        if given.get("batch_size") is None:
            given["batch_size"] = self._batch_size
        limit = self.bundle.model.max_seq_len
        return RunOptions.resolve(self.bundle.manifest.defaults, limit, top_k=top_k, **given)

    def answerer(self, options: RunOptions | None = None) -> Answerer:
        """Return this pipeline's parts at some settings; default: the bundle's own."""
        return Answerer(self.maker, self.orchestrator, self.policy, options or self.options())

    @overload
    def run(self, *, question: str, context: str, top_k: Literal[1] = 1, **options: Unpack[CallOptions]) -> Answer: ...

    @overload
    def run(
        self,
        *args: Any,
        question: Any = None,
        context: Any = None,
        data: Any = None,
        top_k: int = 1,
        **options: Unpack[CallOptions],
    ) -> Any: ...

    def run(
        self,
        *args: Any,
        question: str | Sequence[str] | None = None,
        context: str | Sequence[str] | None = None,
        data: dict[str, str] | Sequence[dict[str, str]] | None = None,
        top_k: int = 1,
        doc_stride: int | None = None,
        max_answer_len: int | None = None,
        max_seq_len: int | None = None,
        handle_impossible_answer: bool = False,
        align_to_words: bool = True,
        return_skim: bool = False,
        batch_size: int | None = None,
        max_question_len: int | None = None,
        padding: str | bool | None = None,
    ) -> Any:
        """Answer one question or many.

        Args:
            question, context: one each, or a list of questions with one context or a list of as many contexts
            data: instead of both, a dict with "question" and "context", or a list of them (also positional)
            top_k: answers per question; above 1 each question gets a list
            doc_stride: tokens that neighbouring windows share; default: the bundle's, and half of max_seq_len at most
            max_answer_len: tokens of an answer at most; default: the bundle's
            max_seq_len: positions of a window, question included; default: the bundle's
            handle_impossible_answer: the empty answer may be returned, with start and end 0
            align_to_words: widen an answer to whole words
            return_skim: add "skipped" to each answer: [{"start", "end", "layer"}], the character ranges of the
                context that were dropped, and after which layer (numbered from 0)
            batch_size: instead of the pipeline's, for this call
            max_question_len, padding: accepted and without effect, as they were with fast tokenizers

        Returns:
            {"score", "start", "end", "answer"} for one question, a list for several. `start` and `end` are character
            offsets into the context. "score" is from 0 to 1: in one window the probability of the answer's text;
            where several windows offer the same text, the sum of these, and 1 at most. Scores of different contexts
            of many windows are not on one scale.

        Raises:
            InputError (a ValueError): an argument or an input cannot be used; nothing was run.
        """
        examples = parse_examples(args, question, context, data)
        options = self.options(
            max_seq_len=max_seq_len,
            doc_stride=doc_stride,
            max_answer_len=max_answer_len,
            top_k=top_k,
            handle_impossible_answer=handle_impossible_answer,
            align_to_words=align_to_words,
            batch_size=batch_size,
        )
        answerer = self.answerer(options)
        windows = [answerer.windows(e.question, e.context) for e in examples]
        results = answerer.run(windows)
        answers: list[Answer | list[Answer]] = []
        for example, own, outcome in zip(examples, windows, results, strict=True):
            found = answerer.decode(example.context, own, outcome)
            if return_skim:
                skipped = skipped_ranges(own, outcome, self.bundle.model.block_size)
                for answer in found:
                    answer["skipped"] = skipped
            answers.append(found[0] if len(found) == 1 else found)
        return answers[0] if len(answers) == 1 else answers

    __call__ = run


def _read_tokenizer(bundle: Bundle) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(bundle.tokenizer))
    except Exception as error:  # tokenizers raises plain Exception
        raise BundleError(f"'{bundle.tokenizer}' is not a tokenizer: {error}. {RECOPY}") from None
