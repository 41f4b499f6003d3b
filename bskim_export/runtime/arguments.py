"""The ways in which questions can be passed, as the transformers pipeline took them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bskim_export.errors import InputError


@dataclass(frozen=True)
class Example:
    """One question about one context."""

    question: str
    context: str


def parse_examples(args: Sequence[Any], question: Any, context: Any, data: Any) -> list[Example]:
    """Return the examples that a call names.

    Args:
        args: positional arguments: nothing, or dicts, or lists of dicts
        question, context: strings, or a list of questions with one context or as many contexts
        data: a dict or a list of dicts with "question" and "context"

    Raises:
        InputError: nothing was passed, lengths differ, a text is no string or is empty.
    """
    given = [*args, *([data] if data is not None else [])]
    if given and (question is not None or context is not None):
        raise InputError("Pass either dicts with 'question' and 'context', or question= and context=, not both.")
    if given:
        items = [i for g in given for i in (g if isinstance(g, (list, tuple)) else [g])]
        examples = [example for item in items for example in _from_dict(item)]
    elif question is None or context is None:
        raise InputError("Pass question= and context=, or a dict with both.")
    else:
        examples = _pair(question, context)
    if not examples:
        raise InputError("There are no questions: the list is empty.")
    return examples


def _from_dict(item: Any) -> list[Example]:
    if isinstance(item, Example):
        return [item]
    if not isinstance(item, dict):
        raise InputError(f"A question is a dict with 'question' and 'context', got {type(item).__name__}.")
    for key in ("question", "context"):
        if key not in item:
            raise InputError(f"The dict has no '{key}'; it needs 'question' and 'context'.")
    return _pair(item["question"], item["context"])


def _pair(question: Any, context: Any) -> list[Example]:
    questions = list(question) if isinstance(question, (list, tuple)) else [question]
    contexts = list(context) if isinstance(context, (list, tuple)) else [context] * len(questions)
    if len(questions) != len(contexts):
        raise InputError(
            f"Questions and contexts don't have the same lengths: {len(questions)} questions, {len(contexts)} contexts."
        )
    for name, texts in (("question", questions), ("context", contexts)):
        for text in texts:
            if not isinstance(text, str):
                raise InputError(f"`{name}` must be a string, got {type(text).__name__}.")
            if not text:
                raise InputError(f"`{name}` cannot be empty.")
    return [Example(q, c) for q, c in zip(questions, contexts, strict=True)]
