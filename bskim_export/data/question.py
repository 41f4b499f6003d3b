"""One question of a data set, whatever file it came from."""

import random
from dataclasses import dataclass

from bskim_export.errors import InputError


@dataclass(frozen=True)
class Question:
    """One question about one context. Every reader returns these, and nothing else.

    Attributes:
        id: the data set's own name for it
        question, context: never blank
        answers: answer spans as they stand in the context; `context[starts[i]:][:len(answers[i])] == answers[i]`
        starts: their character offsets. No answers: the question is impossible to answer (SQuAD 2.0's is_impossible)
        supporting: character ranges [start, end) of supporting facts in the context, if the data set has any
        accepted: the gold texts, where the data set publishes others than the spans (MRQA's `answers`)
    """

    id: str
    question: str
    context: str
    answers: tuple[str, ...]
    starts: tuple[int, ...]
    supporting: tuple[tuple[int, int], ...] = ()
    accepted: tuple[str, ...] = ()

    @property
    def gold(self) -> tuple[str, ...]:
        """The texts that a prediction is scored against; none if the question is impossible to answer.

        Example:
            >>> Question("1", "Who?", "IFN-signature", ("IFN-signature",), (0,), accepted=("IFN signature",)).gold
            ('IFN signature',)
        """
        return self.accepted or self.answers


def hold_out(questions: list[Question], count: int, seed: int = 42) -> tuple[list[Question], list[Question]]:
    """Split off about `count` questions with their passages, so that no passage is on both sides.

    Returns:
        (the rest, the held out)

    Raises:
        InputError: nothing would be left on one side.
    """
    by_context: dict[str, list[Question]] = {}
    for question in questions:
        by_context.setdefault(question.context, []).append(question)
    order = sorted(by_context)
    random.Random(seed).shuffle(order)
    held: set[str] = set()
    taken = 0
    for context in order:
        if taken >= count:
            break
        held.add(context)
        taken += len(by_context[context])
    if len(held) == len(order) or not held:
        raise InputError(
            f"{len(questions)} questions on {len(order)} passages are too few to hold {count} out. Pass --eval-dataset."
        )
    return [q for q in questions if q.context not in held], [q for q in questions if q.context in held]


def sample(questions: list[Question], limit: int | None, seed: int = 42) -> list[Question]:
    """Return `limit` of the questions, drawn without replacement, the same for the same seed; all if fewer."""
    if limit is None or limit >= len(questions):
        return questions
    if limit < 1:
        raise InputError(f"The number of questions must be at least 1, got {limit}.")
    return random.Random(seed).sample(questions, limit)
