"""QAPipeline: questions and contexts in, answers out."""

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from bskim_export.backends.base import Backend
from bskim_export.backends.choose import choose_backend
from bskim_export.bundle import TOKENIZER, read_manifest, verify_files
from bskim_export.errors import InputError
from bskim_export.runtime.arguments import parse_examples
from bskim_export.runtime.decode import best_answers
from bskim_export.runtime.orchestrator import Orchestrator, WindowResult
from bskim_export.runtime.policy import Policy, Thresholds, check_threshold
from bskim_export.runtime.skipped import skipped_ranges
from bskim_export.runtime.windows import Window, WindowMaker

log = logging.getLogger("bskim_export")


class QAPipeline:
    """Extractive question answering from a bundle, with the arguments and results of the question-answering pipeline
    that transformers removed in 5.3. Needs neither torch nor transformers. Safe to call from several threads.

    Args:
        bundle: the directory that bskim-export wrote
        threads: threads for one operator; default: the cores this process may use
        batch_size: windows that run together; answers do not depend on it
        threshold: 0 (the dense model) to 1, for every layer; default: the bundle's own thresholds
        backend: what runs the graphs; default: what the bundle holds engines for, if that runs here, else ONNX Runtime
            on the CPU. `backend_reason` says why it is that one

    Raises:
        BundleError: the bundle is missing, incomplete, damaged or of another version.

    Example:
        >>> qa = QAPipeline("engines/")  # doctest: +SKIP
        >>> qa(question="Who wrote it?", context="Ada wrote it in 1843.")  # doctest: +SKIP
        {'score': 0.98, 'start': 0, 'end': 3, 'answer': 'Ada'}
    """

    def __init__(
        self,
        bundle: str | Path,
        *,
        threads: int | None = None,
        batch_size: int = 8,
        threshold: float | None = None,
        backend: Backend | None = None,
    ):
        folder = Path(bundle)
        self.manifest = read_manifest(folder)
        if threshold is None:
            by_layer = {int(layer): value for layer, value in self.manifest.thresholds.items()}
        else:
            by_layer = dict.fromkeys(self.manifest.skim_layers, check_threshold(threshold))
        self.policy: Policy = Thresholds(by_layer)
        stamps = verify_files(folder, self.manifest)
        self.backend_reason = "it was asked for"
        if backend is None:
            backend, self.backend_reason = choose_backend(self.manifest, threads)
            log.info("%s runs '%s': %s.", backend.name, folder, self.backend_reason)
        self.batch_size = _at_least(1, "batch_size", batch_size)
        self.windows = WindowMaker(folder / TOKENIZER, self.manifest.model)
        self.orchestrator = Orchestrator(folder, self.manifest, backend, stamps)
        skims = any(self.policy.scores(layer) for layer in self.manifest.skim_layers)
        self.orchestrator.load(dense=not skims, skim=skims)

    def __call__(self, *args, **kwargs) -> dict | list:
        """Answer; the same as `run`."""
        return self.run(*args, **kwargs)

    def run(
        self,
        *args,
        question: str | Sequence[str] | None = None,
        context: str | Sequence[str] | None = None,
        data: dict | Sequence[dict] | None = None,
        top_k: int = 1,
        doc_stride: int | None = None,
        max_answer_len: int = 15,
        max_seq_len: int | None = None,
        handle_impossible_answer: bool = False,
        align_to_words: bool = True,
        return_skim: bool = False,
        batch_size: int | None = None,
        max_question_len: int | None = None,
        padding: str | bool | None = None,
    ) -> dict | list:
        """Answer one question or many.

        Args:
            question, context: one each, or a list of questions with one context or a list of as many contexts
            data: instead of both, a dict with "question" and "context", or a list of them (also positional)
            top_k: answers per question; above 1 each question gets a list
            doc_stride: tokens that neighbouring windows share; default: 128, or half of max_seq_len if that is less
            max_answer_len: tokens of an answer at most
            max_seq_len: positions of a window, question included; default: 384, or the model's limit if that is less
            handle_impossible_answer: the empty answer may be returned, with start and end 0
            align_to_words: widen an answer to whole words
            return_skim: add "skipped" to each answer: [{"start", "end", "layer"}], the character ranges of the
                context that were dropped, and after which layer (numbered from 0)
            batch_size: instead of the pipeline's, for this call
            max_question_len, padding: accepted and without effect, as they were with fast tokenizers

        Returns:
            {"score", "start", "end", "answer"} for one question, a list for several. `start` and `end` are character
            offsets into the context; "score" is a probability.

        Raises:
            InputError (a ValueError): an argument or an input cannot be used; nothing was run.
        """
        examples = parse_examples(args, question, context, data)
        limit = self.manifest.model.max_seq_len
        max_seq_len = min(384, limit) if max_seq_len is None else _at_least(1, "max_seq_len", max_seq_len)
        if max_seq_len > limit:
            raise InputError(f"max_seq_len is {max_seq_len}; the bundle was exported for at most {limit}.")
        doc_stride = min(128, max_seq_len // 2) if doc_stride is None else _at_least(0, "doc_stride", doc_stride)
        _at_least(1, "top_k", top_k)
        _at_least(1, "max_answer_len", max_answer_len)
        if batch_size is not None:
            _at_least(1, "batch_size", batch_size)

        windows = [self.windows(e.question, e.context, max_seq_len, doc_stride) for e in examples]
        results = self.skim(windows, must_answer=not handle_impossible_answer, batch_size=batch_size)
        answers = []
        for example, own, outcome in zip(examples, windows, results, strict=True):
            found = self.decode(
                example.context, own, outcome, top_k, max_answer_len, handle_impossible_answer, align_to_words
            )
            if return_skim:
                skipped = skipped_ranges(own, outcome, self.orchestrator.block_size)
                found = [{**a, "skipped": skipped} for a in found]
            answers.append(found[0] if len(found) == 1 else found)
        return answers[0] if len(answers) == 1 else answers

    def skim(
        self,
        windows: Sequence[Sequence[Window]],
        must_answer: bool = True,
        policy: Policy | None = None,
        batch_size: int | None = None,
    ) -> list[list[WindowResult]]:
        """Run the windows of several questions.

        Args:
            windows: per question, its windows
            must_answer: a question whose windows have all left gets its most promising window run once more, with
                that window's best block held
            policy: instead of the pipeline's thresholds
            batch_size: windows that run together; default: the pipeline's

        Returns:
            per question, one result per window.
        """
        run = partial(self._run_batches, policy or self.policy, batch_size or self.batch_size)
        flat = [w for own in windows for w in own]
        done = run(flat)
        if must_answer:
            again = [best for start, own in _groups(windows) if (best := _most_promising(done, start, len(own))) >= 0]
            held = [done[i].best_block for i in again]
            for i, result in zip(again, run([flat[i] for i in again], held), strict=True):
                result.earlier = done[i]
                done[i] = result
        return [done[start : start + len(own)] for start, own in _groups(windows)]

    def _run_batches(
        self, policy: Policy, batch_size: int, windows: list[Window], held: list[int] | None = None
    ) -> list[WindowResult]:
        # Windows of like length together: the attention grid is as wide as its longest window.
        order = sorted(range(len(windows)), key=lambda i: len(windows[i].input_ids))
        results: list[WindowResult] = [None] * len(windows)  # type: ignore[list-item]
        for start in range(0, len(order), batch_size):
            part = order[start : start + batch_size]
            forced = [held[i] for i in part] if held else None
            done = self.orchestrator.run([windows[i] for i in part], policy, forced)
            for i, result in zip(part, done, strict=True):
                results[i] = result
        return results

    def decode(
        self,
        context: str,
        windows: Sequence[Window],
        results: Sequence[WindowResult],
        top_k: int = 1,
        max_answer_len: int = 15,
        handle_impossible_answer: bool = False,
        align_to_words: bool = True,
    ) -> list[dict]:
        """Return the best answers of one question from what became of its windows, best first."""
        return best_answers(
            context,
            windows,
            results,
            self.manifest.model.cls_token_id,
            top_k,
            max_answer_len,
            handle_impossible_answer,
            align_to_words,
        )


def _groups(windows: Sequence[Sequence[Window]]) -> Iterator[tuple[int, Sequence[Window]]]:
    start = 0
    for own in windows:
        yield start, own
        start += len(own)


def _most_promising(results: Sequence[WindowResult], start: int, count: int) -> int:
    """Return the window that stayed longest, the surer one of two; -1 if any of the question's windows stayed."""
    own = range(start, start + count)
    if not all(results[i].left for i in own):
        return -1
    return max(own, key=lambda i: (results[i].dropped_after.max(), results[i].best_score))


def _at_least(least: int, name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name} parameter should be >= {least} (got {value!r})")
    return value
