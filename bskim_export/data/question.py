"""The question that all readers return, and the ways to split and sample lists of them."""

import random
from dataclasses import dataclass, field

from bskim_export.errors import InputError


@dataclass(frozen=True)
class Question:
    """One question about one context. Every reader returns this type.

    Attributes:
        id: the data set's own name for it
        question, context: never blank
        answers: the texts of the answer spans: `context[starts[i]:][:len(answers[i])] == answers[i]`. If there are
            none, the question is impossible to answer (SQuAD 2.0's is_impossible)
        starts: the character offset of each answer in the context
        supporting: character ranges [start, end) of supporting facts in the context, if the data set has any
        accepted: the gold texts, if the data set publishes others than the spans (MRQA's `answers`)
        title: of the article that the context is from, if the data set names it; says nothing about the question
    """

    id: str
    question: str
    context: str
    answers: tuple[str, ...]
    starts: tuple[int, ...]
    supporting: tuple[tuple[int, int], ...] = ()
    accepted: tuple[str, ...] = ()
    title: str = field(default="", compare=False)

    @property
    def gold(self) -> tuple[str, ...]:
        """The texts that a prediction is scored against. There are none if the question is impossible to answer.

        Example:
            >>> Question("1", "Who?", "IFN-signature", ("IFN-signature",), (0,), accepted=("IFN signature",)).gold
            ('IFN signature',)
        """
        return self.accepted or self.answers


def hold_out(questions: list[Question], count: int, seed: int = 42) -> tuple[list[Question], list[Question]]:
    """Split off about `count` questions with their passages, so that no passage is on both sides.

    Returns:
        (the questions that stay, the questions held out), both in the order of `questions`

    Raises:
        InputError: nothing would be left on one side.
    """
    by_context: dict[str, list[Question]] = {}
    for question in questions:
        by_context.setdefault(question.context, []).append(question)
    order = sorted(by_context)
    random.Random(seed).shuffle(order)
    # Take whole passages, in random order, until there are enough questions.
    held_out: set[str] = set()
    taken = 0
    for context in order:
        if taken >= count:
            break
        held_out.add(context)
        taken += len(by_context[context])
    if len(held_out) == len(order) or not held_out:
        raise InputError(
            f"{len(questions)} questions on {len(order)} passages are too few to hold {count} out. Pass --eval-dataset."
        )
    rest = [q for q in questions if q.context not in held_out]
    return rest, [q for q in questions if q.context in held_out]


def sample(questions: list[Question], limit: int | None, seed: int = 42) -> list[Question]:
    """Return `limit` of the questions, drawn without replacement. The same seed draws the same ones.

    If `limit` is None, or there are no more than `limit` questions, all are returned.

    Raises:
        InputError: the limit is less than 1.
    """
    if limit is None or limit >= len(questions):
        return questions
    if limit < 1:
        raise InputError(f"The number of questions must be at least 1, got {limit}.")
    return random.Random(seed).sample(questions, limit)
