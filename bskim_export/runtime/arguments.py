"""The ways in which questions can be passed: those of the transformers pipeline, and what data libraries hold.

Nothing is read ahead: a generator is asked for its next question when that one is needed.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, repeat, zip_longest
from typing import Any

from bskim_export.errors import InputError

BOTH = "Pass either dicts with 'question' and 'context', or question= and context=, not both."
NEITHER = "Pass question= and context=, two strings, or a dict with both."
CONTEXT_OR_PASSAGES = "Pass either `context` or `passages`, not both."


@dataclass(frozen=True)
class Example:
    """One question about one context, or about several passages. It was checked: both are strings that are not empty.

    passages: instead of a context, passages that are answered jointly, not checked and read when their turn comes
    """

    question: str
    context: str = ""
    passages: Iterable[Any] | None = field(default=None, repr=False)


@dataclass
class Call:
    """The questions of a call.

    items: an Example for each question, or the error that says why there is none
    several: a list was passed, or an iterator, so a list is returned even for one question
    total: how many there are, if that can be told without reading them
    """

    items: Iterator[Example | InputError]
    several: bool
    total: int | None


def parse_prepared(args: tuple[Any, ...], question: Any, others: Any) -> Call:
    """Return the questions of a call whose passages are prepared: one string, or many.

    Raises:
        InputError: something else was passed too, or no question.
    """
    if args or others:
        raise InputError("With `prepared`, pass only question=, one or many: the passages are prepared already.")
    if question is None:
        raise InputError("`prepared` needs question=, one string or many.")
    if not _is_many(question):
        return Call(iter([_check(question, "prepared")]), False, 1)
    return Call((_check(one, "prepared") for one in question), True, _length(question))


def parse_call(args: tuple[Any, ...], question: Any, context: Any, data: Any, passages: Any = None) -> Call:
    """Return the questions that a call names.

    Args:
        args: positional arguments: a question and a context; or dicts; or one list or iterator of dicts
        question, context: strings, or many questions with one context or with as many contexts; lists, tuples,
            generators, columns of `datasets` or pandas, NumPy arrays
        data: a dict or many of them with "question" and "context" or "passages"
        passages: instead of a context, strings or dicts with "text" and perhaps "title"; for many questions, such a
            list for each, or one for all

    Raises:
        InputError: nothing was passed, or too much.

    Example:
        >>> call = parse_call(("Who?", "Ada."), None, None, None)
        >>> list(call.items), call.several
        ([Example(question='Who?', context='Ada.')], False)
    """
    given = [*args, *([data] if data is not None else [])]
    if given and (question is not None or context is not None or passages is not None):
        raise InputError(BOTH)
    if len(given) == 2 and all(isinstance(text, str) for text in given):
        question, context = given
        given = []
    if not given:
        if question is None or (context is None and passages is None):
            raise InputError(NEITHER)
        return _pairs(question, context) if passages is None else _joint(question, context, passages)
    calls = [_from_object(item) for item in given]
    total = sum(c.total for c in calls if c.total is not None)
    return Call(
        chain.from_iterable(c.items for c in calls),
        len(given) > 1 or calls[0].several,
        None if any(c.total is None for c in calls) else total,
    )


def _from_object(item: Any) -> Call:
    """Return the questions of a dict, or of something that holds dicts."""
    if isinstance(item, (Mapping, Example)):
        return _from_dict(item)
    if _is_table(item):
        raise InputError("A table is no list of dicts: pass question=table['question'], context=table['context'].")
    if isinstance(item, (str, bytes)) or not isinstance(item, Iterable):
        raise _no_dict(item)
    return Call(chain.from_iterable(_nested(one) for one in item), True, _length(item))


def _nested(item: Any) -> Iterator[Example | InputError]:
    try:
        if not isinstance(item, (Mapping, Example)):
            raise _no_dict(item)
        return _from_dict(item).items
    except InputError as error:
        return iter([error])


def _from_dict(item: Any) -> Call:
    if isinstance(item, Example):
        if item.passages is not None:
            return _joint(item.question, item.context or None, item.passages)
        return Call(iter([_check(item.question, item.context)]), False, 1)
    if "question" in item and item.get("passages") is not None:
        return _joint(item["question"], item.get("context"), item["passages"])
    for key in ("question", "context"):
        if key not in item:
            raise InputError(f"The dict has no '{key}'; it needs 'question' and 'context', or 'passages'.")
    return _pairs(item["question"], item["context"])


def _pairs(question: Any, context: Any) -> Call:
    """Return one question, or many with one context or as many."""
    if not _is_many(question) and not _is_many(context):
        return Call(iter([_check(question, context)]), False, 1)
    if not _is_many(question):
        question = [question]
    counts = [n for n in (_length(question), _length(context) if _is_many(context) else None) if n is not None]
    if len(set(counts)) > 1:
        raise _lengths(counts[0], counts[1])
    contexts = context if _is_many(context) else repeat(context)
    return Call(_zip(question, contexts, endless=not _is_many(context)), True, counts[0] if counts else None)


def _joint(question: Any, context: Any, passages: Any) -> Call:
    """Return one question, or many, each with its passages or all with the same ones."""
    if context is not None:
        raise InputError(CONTEXT_OR_PASSAGES)
    if not _is_many(passages) or _is_table(passages):
        raise InputError(f"`passages` must be a list of strings or dicts, got {type(passages).__name__}.")
    if not _is_many(question):
        return Call(iter([_check_joint(question, passages)]), False, 1)
    passages = list(passages)
    if not passages or not _is_many(passages[0]):  # the same passages for all
        return Call((_check_joint(one, passages) for one in question), True, _length(question))
    count = _length(question)
    if count is not None and count != len(passages):
        raise InputError(f"There are {count} questions, but {len(passages)} lists of passages.")
    return Call((_check_joint(q, p) for q, p in zip(question, passages, strict=False)), True, len(passages))


def _check_joint(question: Any, passages: Any) -> Example | InputError:
    checked = _check(question, "some")
    if isinstance(checked, InputError):
        return checked
    if not _is_many(passages):
        return InputError(f"`passages` must be a list of strings or dicts, got {type(passages).__name__}.")
    return Example(checked.question, passages=passages)


def _zip(questions: Iterable[Any], contexts: Iterable[Any], endless: bool) -> Iterator[Example | InputError]:
    """Yield pairs; two iterators of different lengths are noticed at the end of the shorter one."""
    missing = object()
    pairs = zip(questions, contexts, strict=False) if endless else zip_longest(questions, contexts, fillvalue=missing)
    for i, (question, context) in enumerate(pairs):
        if question is missing or context is missing:
            raise _lengths(i + (question is not missing), i + (context is not missing))
        yield _check(question, context)


def _check(question: Any, context: Any) -> Example | InputError:
    for name, text in (("question", question), ("context", context)):
        if not isinstance(text, str):
            return InputError(f"`{name}` must be a string, got {type(text).__name__}.")
        if not text:
            return InputError(f"`{name}` cannot be empty.")
    return Example(str(question), str(context))


def _is_many(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, bytearray, Mapping))


def _length(value: Any) -> int | None:
    try:
        return len(value)
    except TypeError:  # an iterator
        return None


def _is_table(value: Any) -> bool:
    """Return whether iterating over a value gives names of columns, as pandas' and polars' tables do."""
    return hasattr(value, "columns") and hasattr(value, "shape") and hasattr(value, "dtypes")


def _no_dict(item: Any) -> InputError:
    return InputError(f"A question is a dict with 'question' and 'context', got {type(item).__name__}.")


def _lengths(questions: int, contexts: int) -> InputError:
    return InputError(
        f"Questions and contexts don't have the same lengths: {questions} questions, {contexts} contexts."
    )
