"""From what a request says to a job, and from a job that is done to what the answer says."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bskim_export.errors import InputError, only_own_errors
from bskim_export.runtime.answering import Answerer
from bskim_export.runtime.arguments import Call, parse_call
from bskim_export.runtime.asked import read_passages
from bskim_export.runtime.asking import new_asked, result_of
from bskim_export.runtime.highlight import Highlighter
from bskim_export.runtime.options import check_count, check_flag
from bskim_export.runtime.pipeline import QAPipeline
from bskim_export.runtime.policy import Thresholds, check_threshold
from bskim_export.serve.jobs import Job
from bskim_export.serve.limits import Limits, TooLargeError

RUN_OPTIONS = (
    "max_seq_len", "doc_stride", "max_answer_len", "handle_impossible_answer", "align_to_words", "max_windows",
    "max_blocks", "window_scale",
)  # fmt: skip
"""Parameters that `QAPipeline.run` has under the same name, beside top_k, return_skim and return_stats."""
WITHOUT_EFFECT = ("max_question_len", "padding")
"""Parameters of the transformers pipeline that never had an effect with fast tokenizers; clients send them."""
OF_HIGHLIGHT = ("max_seq_len", "doc_stride", "max_windows")


@only_own_errors
def make_job(qa: QAPipeline, task: str, inputs: Any, parameters: Any, limits: Limits) -> Job:
    """Return the job that a request asks for, with all its windows.

    Args:
        task: "answer" or "highlight"
        inputs: a dict with "question" and "context" or "passages", or for answers a list of such
        parameters: options of the call, by the names of `QAPipeline.run` and `QAPipeline.highlight`, and for answers
            "threshold": that of every layer, instead of the bundle's

    Raises:
        InputError: something cannot be used.
        TooLargeError: it is more than the service allows.
        BundleError: the bundle cannot do it.
    """
    if parameters is None:
        parameters = {}
    if not isinstance(parameters, Mapping):
        raise InputError(f"`parameters` must be an object, got {type(parameters).__name__}.")
    if not isinstance(inputs, (Mapping, list)):
        raise InputError(
            f"`inputs` must be an object with 'question' and 'context' or 'passages', or a list of such, got "
            f"{type(inputs).__name__}."
        )
    _check_sizes(inputs, limits)
    given = {name: value for name, value in parameters.items() if value is not None and name not in WITHOUT_EFFECT}
    given["max_windows"] = min(
        limits.max_windows, check_count(1, "max_windows", given.get("max_windows", limits.max_windows))
    )
    call = parse_call((), None, None, inputs)
    make = _answers if task == "answer" else _highlights
    job = make(qa, call, given, limits)
    job.cut(call.several)
    return job


def _answers(qa: QAPipeline, call: Call, given: dict[str, Any], limits: Limits) -> Job:
    top_k = check_count(1, "top_k", given.pop("top_k", 1))
    if top_k > limits.max_top_k:
        raise InputError(f"top_k is {top_k}; this service gives at most {limits.max_top_k} answers.")
    return_skim = check_flag("return_skim", given.pop("return_skim", False))
    return_stats = check_flag("return_stats", given.pop("return_stats", False))
    threshold = given.pop("threshold", None)
    _check_names(given, (*RUN_OPTIONS, "top_k", "return_skim", "return_stats", "threshold"))
    answerer = qa.answerer(qa.options(top_k, **given))
    if threshold is not None:
        answerer = _with_threshold(answerer, check_threshold(threshold))
    answerer.able()
    asked = []
    for number, item in enumerate(call.items):
        one = new_asked(answerer, item, return_skim)
        if isinstance(one, InputError):
            raise InputError(f"Question {number}: {one}") if call.several else one
        asked.append(one)
    if not asked:
        raise InputError("There are no questions: the list is empty.")

    def finish() -> Any:
        found: list[Any] = [result_of(one, return_stats) for one in asked]
        lists = [one if isinstance(one, list) else [one] for one in found]
        if call.several:
            return lists
        for answer in lists[0] if return_stats else ():
            answer["stats"] = {**answer["stats"], "macs": job.tally.macs, "dense_macs": job.tally.dense_macs}
        return lists[0]

    job = Job(asked, finish)
    return job


def _with_threshold(answerer: Answerer, threshold: float) -> Answerer:
    return replace(answerer, policy=Thresholds(dict.fromkeys(answerer.runner.skim_layers, threshold)))


def _highlights(qa: QAPipeline, call: Call, given: dict[str, Any], limits: Limits) -> Job:
    if call.several:
        raise InputError("Pass one question: passages are pruned for one question at a time.")
    own = {name: given.pop(name) for name in ("threshold", "keep", "language") if name in given}
    _check_names(given, (*OF_HIGHLIGHT, "threshold", "keep", "language"))
    (one,) = call.items
    if isinstance(one, InputError):
        raise one
    passages = [one.context] if one.passages is None else one.passages
    judged = Highlighter(qa.answerer(qa.options(**given)), one.question, read_passages(passages), **own)
    return Job([judged.asked], judged.found)


def _check_names(given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for name in given:
        if name not in known:
            raise InputError(f"There is no parameter {name!r:.60}. Those that there are: {', '.join(sorted(known))}.")


def _check_sizes(inputs: Any, limits: Limits) -> None:
    questions = inputs if isinstance(inputs, list) else [inputs]
    if len(questions) > limits.max_questions:
        raise TooLargeError(
            f"There are {len(questions)} questions in the request; this service takes {limits.max_questions} at once."
        )
    for one in questions:
        passages = one.get("passages") if isinstance(one, Mapping) else None
        if isinstance(passages, list) and len(passages) > limits.max_passages:
            raise TooLargeError(
                f"A question has {len(passages)} passages; this service takes {limits.max_passages} at most."
            )
