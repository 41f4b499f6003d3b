"""QAPipeline: questions and contexts in, answers out."""

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any, Literal, Self, Unpack, overload

from bskim_export.backends.base import Backend
from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.hub import is_hub_name
from bskim_export.errors import InputError, only_own_errors
from bskim_export.runtime.answering import Answerer
from bskim_export.runtime.arguments import parse_call, parse_prepared
from bskim_export.runtime.asking import result_of, shown_progress
from bskim_export.runtime.opening import find_backend, make_policy, make_runner, read_tokenizer
from bskim_export.runtime.options import BATCH_SIZE, GivenOptions, RunOptions, check_count, check_flag
from bskim_export.runtime.policy import Policy, check_threshold
from bskim_export.runtime.prepared.lower import require_joint
from bskim_export.runtime.prepared.preparing import Preparing
from bskim_export.runtime.pruning import Pruning
from bskim_export.runtime.scoring import Answer
from bskim_export.runtime.windows import WindowMaker


class CallOptions(GivenOptions, total=False):
    """Options of a call, beside its questions and `top_k`; see `QAPipeline.run`."""

    return_skim: bool
    return_stats: bool
    on_error: Literal["raise", "return"]
    progress: bool | None
    max_question_len: int | None
    padding: str | bool | None
    topk: int | None


class QAPipeline(Pruning, Preparing):
    """Extractive question answering from a bundle, with the arguments and results of the question-answering pipeline
    that transformers removed in 5.3. Needs neither torch nor transformers. Safe to call from several threads.

    A pipeline pickles as its path and arguments, and opens its bundle anew where it arrives.

    Args:
        bundle: the directory that bskim-export wrote, a Bundle that is open, or "user/repo" on the Hugging Face Hub
        threads: threads for one operator; default: the cores this process may use
        batch_size: windows that run together; answers do not depend on it
        threshold: 0 (the dense model) to 1, for every layer; default: the bundle's own thresholds, of the predictors
            that were measured to be worth their time with this backend, if that was measured
        backend: runs the graphs, a name like "openvino" or a Backend; default: the one that the bundle holds engines
            for, if that runs here, else what `bskim-export --for cpu` measured to be fastest, else ONNX Runtime
        precision: the one that a backend of that name computes in, where it has several
        max_concurrency: calls that run at once at most; others wait. Each needs memory of its own
        revision: of a bundle on the Hub: a branch, a tag or a commit

    Attributes:
        bundle: the open bundle
        backend: runs its graphs
        backend_reason: says why it is this backend
        runner: runs its windows
        policy: its thresholds, or the one that was passed

    Raises:
        BskimError: whatever goes wrong. BundleError: the bundle is missing, incomplete, damaged or of another version.
            InputError: an argument cannot be used.

    Example:
        >>> with QAPipeline("engines/") as qa:  # doctest: +SKIP
        ...     qa(question="Who wrote it?", context="Ada wrote it in 1843.")
        {'score': 0.98, 'start': 0, 'end': 3, 'answer': 'Ada'}
    """

    @only_own_errors
    def __init__(
        self,
        bundle: str | Path | Bundle,
        *,
        threads: int | None = None,
        batch_size: int = BATCH_SIZE,
        threshold: float | None = None,
        backend: str | Backend | None = None,
        precision: str = "fp32",
        max_concurrency: int | None = None,
        revision: str | None = None,
    ):
        by_threshold = None if threshold is None else check_threshold(threshold)
        self._limit = None if max_concurrency is None else check_count(1, "max_concurrency", max_concurrency)
        self._turn = nullcontext() if self._limit is None else BoundedSemaphore(self._limit)
        self._closed = False
        self.bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle, revision=revision)
        # Where a link leads may have changed when it is opened anew; a Bundle is that directory, wherever links lead,
        # and a name on the Hub stands for the commit that was fetched.
        of_one = isinstance(bundle, Bundle) or is_hub_name(str(bundle))
        self._path = str(self.bundle.folder if of_one else Path(str(bundle)).absolute())
        self._threshold = by_threshold
        self._batch_size = batch_size
        self.options()  # refuses a batch size that cannot be used, before anything is loaded
        self._named = backend if isinstance(backend, str) or backend is None else backend.name
        self._threads = threads if isinstance(backend, str) or backend is None else backend.threads
        self.backend, self.backend_reason = find_backend(self.bundle, backend, threads, precision)
        self.policy: Policy = make_policy(self.bundle, self.backend, by_threshold)
        self.maker = WindowMaker(read_tokenizer(self.bundle), self.bundle.model)
        self.runner = make_runner(self.bundle, self.backend)
        skims = any(self.policy.scores(layer) for layer in self.bundle.skim_layers)
        self.runner.load(dense=not skims, skim=skims)

    def options(self, top_k: int = 1, **given: Unpack[GivenOptions]) -> RunOptions:
        """Return the settings of a run: the bundle's defaults, but for those that are given. See RunOptions."""
        if given.get("batch_size") is None:
            given["batch_size"] = self._batch_size
        limit = self.bundle.model.max_seq_len
        return RunOptions.resolve(self.bundle.manifest.defaults, limit, top_k=top_k, **given)

    def answerer(self, options: RunOptions | None = None) -> Answerer:
        """Return this pipeline's parts at some settings; default: the bundle's own.

        Raises:
            BundleError: the model is split, see `split_answerer`.
        """
        require_joint(self.bundle)
        return self.upper(options)

    def upper(self, options: RunOptions | None = None) -> Answerer:
        """Return what runs windows: of a split model, the layers above the split."""
        if self._closed:
            raise InputError("This QAPipeline was closed. Open another.")
        return Answerer(self.maker, self.runner, self.policy, options or self.options())

    @overload
    def run(self, *, question: str, context: str, top_k: Literal[1] = 1, **options: Unpack[CallOptions]) -> Answer: ...

    @overload
    def run(
        self,
        *args: Any,
        question: Any = None,
        context: Any = None,
        data: Any = None,
        passages: Any = None,
        prepared: Any = None,
        top_k: int = 1,
        **options: Unpack[CallOptions],
    ) -> Any: ...

    @only_own_errors
    def run(
        self,
        *args: Any,
        question: Any = None,
        context: Any = None,
        data: Any = None,
        passages: Any = None,
        prepared: Any = None,
        top_k: int = 1,
        doc_stride: int | None = None,
        max_answer_len: int | None = None,
        max_seq_len: int | None = None,
        handle_impossible_answer: bool = False,
        align_to_words: bool = True,
        return_skim: bool = False,
        return_stats: bool = False,
        batch_size: int | None = None,
        max_windows: int | None = None,
        max_blocks: int | None = None,
        window_scale: str | None = None,
        on_error: Literal["raise", "return"] = "raise",
        progress: bool | None = None,
        max_question_len: int | None = None,
        padding: str | bool | None = None,
        topk: int | None = None,
    ) -> Any:
        """Answer one question or many.

        Args:
            question, context: two strings (also positional), or many questions with one context or as many contexts:
                lists, generators, columns of `datasets` or pandas, arrays
            data: instead of both, a dict with "question" and "context", or many of them (also positional)
            passages: instead of a context, what a retriever found: strings, or dicts with "text" and perhaps "title",
                which is read before the text. They are answered jointly: a window never holds parts of two, and the
                best answer of all wins. Also an iterator, which is read when its turn comes
            prepared: instead of both, what `prepare` made of them, or several of these: only questions are run
            top_k: answers per question; above 1 each question gets a list
            doc_stride: tokens that neighbouring windows share; default: the bundle's. Never more than half of what
                the question leaves for the passage
            max_answer_len: tokens of an answer at most; default: the bundle's
            max_seq_len: positions of a window, question included; default: the bundle's
            handle_impossible_answer: the empty answer may be returned, with start and end 0
            align_to_words: widen an answer to whole words
            return_skim: add "skipped" to each answer: [{"start", "end", "layer"}], the character ranges of the
                context that were dropped, and after which layer (numbered from 0)
            return_stats: add "stats" to each answer: {"seconds", "windows", "kept_share"}, see `scoring.Stats`
            batch_size: instead of the pipeline's, for this call
            max_windows: of one question at most; more are refused
            max_blocks: of one question at most that go beyond the first predictor: the best-scored of its document
            window_scale: how answers of different windows are compared, see `scoring.best_answers`: "null", "logits",
                or "window" as the transformers pipeline did; default: the bundle's, which its model was trained for
            on_error: of many questions, "return" puts the InputError of one that cannot be used in its place
            progress: show a bar on standard error; default: for long lists, on a terminal
            max_question_len, padding, topk: accepted; without effect, as they were with fast tokenizers, or for top_k

        Returns:
            {"score", "start", "end", "answer"} for one question, a list for many, even if it holds one. `start` and
            `end` are character offsets into the context. "score" is the probability of the answer's text, from 0 to 1,
            over all windows of the question. With `passages`, "passage" is the number of the one that holds the
            answer, into which the offsets are; None for the null answer.

        Raises:
            InputError (a ValueError): an argument cannot be used, and nothing was run; or one of many questions
                cannot be used: the message has its number, from 0, and those before it may have run in vain.
            BundleError: the bundle's engines fail.
            ForkError: the process is a fork, where this backend cannot run.
        """
        if topk is not None:
            warnings.warn("topk is called top_k now.", FutureWarning, stacklevel=3)
            top_k = topk
        return_skim = check_flag("return_skim", return_skim)
        return_stats = check_flag("return_stats", return_stats)
        if not isinstance(on_error, str) or on_error not in ("raise", "return"):
            raise InputError(f"on_error must be 'raise' or 'return', got {on_error!r}.")
        options = self.options(
            max_seq_len=max_seq_len,
            doc_stride=doc_stride,
            max_answer_len=max_answer_len,
            top_k=top_k,
            handle_impossible_answer=handle_impossible_answer,
            align_to_words=align_to_words,
            batch_size=batch_size,
            max_windows=max_windows,
            max_blocks=max_blocks,
            window_scale=window_scale,
        )
        if prepared is not None:
            call = parse_prepared(args, question, any(one is not None for one in (context, data, passages)))
        else:
            call = parse_call(args, question, context, data, passages)
        answers: list[Any] = []
        with self._turn, shown_progress(call, progress) as advance:
            for i, one in enumerate(self.done(call, options, prepared, return_skim)):
                if isinstance(one, InputError) and on_error == "raise":
                    raise InputError(f"Question {i}: {one}") if call.several else one
                answers.append(one if isinstance(one, InputError) else result_of(one, return_stats))
                advance()
        if not answers:
            raise InputError("There are no questions: the list is empty.")
        return answers if call.several else answers[0]

    __call__ = run

    def warm_up(self) -> None:
        """Run a window of every length once, so that the first questions do not wait for what engines do once.

        OpenVINO compiles kernels for each new shape; others only get their memory.
        """
        if self.bundle.manifest.split is not None:
            return self.warm_up_split()
        answerer = self.answerer()
        size = self.bundle.model.block_size
        lengths = range(size, answerer.options.max_seq_len + 1, size)
        windows = [self.maker("a", "a " * length, length, 0)[0] for length in lengths]
        for window in windows:
            answerer.runner.run([window], self.policy)
        answerer.run(windows)

    def close(self) -> None:
        """Let go of the engines and their memory. Calls that run now end as usual; later ones are refused."""
        self._closed = True
        self.runner.unload()
        self.unload_lower()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Callable[..., "QAPipeline"], tuple[str, dict[str, Any]]]:
        """Pickle as path and arguments."""
        arguments = {
            "threads": self._threads,
            "batch_size": self._batch_size,
            "threshold": self._threshold,
            "backend": self._named,
            "precision": "fp32" if self._named is None else self.backend.precision,
            "max_concurrency": self._limit,
        }
        return _reopen, (self._path, arguments)

    def __repr__(self) -> str:
        thresholds = {i: round(t, 4) for i, t in self.bundle.thresholds.items()}
        if self._threshold is not None:
            thresholds = dict.fromkeys(thresholds, self._threshold)
        return (
            f"QAPipeline({self._path!r}, backend='{self.backend.name}', precision='{self.backend.precision}', "
            f"threads={self.backend.threads}, thresholds={thresholds}{', closed' if self._closed else ''})"
        )


def _reopen(path: str, arguments: dict[str, Any]) -> QAPipeline:
    return QAPipeline(path, **arguments)
