"""Distribution-free control of risk: Learn then Test.

Angelopoulos, Bates, Candès, Jordan, Lei: "Learn then Test: Calibrating Predictive Algorithms to Achieve Risk Control",
arXiv:2110.01052. Each candidate's null hypothesis is that its risk exceeds the promised one. With losses of 0 or 1 over
independent questions, the binomial tail is an exact p-value.

Candidates are tested in an order that was fixed before looking at the certification questions, each at the full level
1 - confidence. Testing stops at the first that cannot be rejected (fixed sequence testing). Then the chance that any
candidate with a risk above the promised one is certified is at most 1 - confidence, whatever the data and the model.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from bskim_export.errors import InputError

Candidate = TypeVar("Candidate")


def binomial_p_value(losses: int, questions: int, risk: float) -> float:
    """Return the chance of at most `losses` losses among `questions`, if each is lost with probability `risk`.

    Example:
        >>> round(binomial_p_value(0, 149, 0.02), 4)
        0.0493
    """
    if risk <= 0:
        return 1.0  # no number of questions without a loss shows that there never is one
    # Each term as the exp of a sum of logs: factorials of thousands of questions fit no float.
    term = [
        _log_choose(questions, k) + k * math.log(risk) + (questions - k) * math.log1p(-risk) for k in range(losses + 1)
    ]
    return min(1.0, math.fsum(map(math.exp, term)))


def allowed_losses(questions: int, risk: float, confidence: float) -> int:
    """Return the most losses among `questions` that still certify `risk`; -1 if even none would not.

    Example:
        >>> allowed_losses(148, 0.02, 0.95), allowed_losses(149, 0.02, 0.95), allowed_losses(400, 0.02, 0.95)
        (-1, 0, 3)
    """
    losses = -1
    while losses < questions and binomial_p_value(losses + 1, questions, risk) <= 1 - confidence:
        losses += 1
    return losses


def needed_questions(risk: float, confidence: float) -> int:
    """Return how many certification questions it takes to certify anything: without a loss, ln(1 - confidence) /
    ln(1 - risk).

    Example:
        >>> needed_questions(0.02, 0.95)
        149
    """
    questions = max(1, math.ceil(math.log(1 - confidence) / math.log1p(-risk)))
    # The quotient is rounded: believe the p-value.
    return questions if binomial_p_value(0, questions, risk) <= 1 - confidence else questions + 1


def check_size(questions: int, risk: float, confidence: float) -> None:
    """Raise InputError if `questions` certification questions cannot certify this risk even without a loss."""
    if not 0 < risk < 1 or not 0 < confidence < 1:
        raise InputError(f"risk and confidence lie between 0 and 1, got {risk} and {confidence}.")
    least = needed_questions(risk, confidence)
    if questions < least:
        raise InputError(
            f"{questions} certification questions are too few for risk {risk:g} at confidence {confidence:g}: even "
            f"without a loss it takes {least}, and half of the questions serve for selection. Pass at least "
            f"{2 * least} questions that have an answer in their passage, or ask for a larger risk."
        )


def fixed_sequence(
    candidates: Iterable[Candidate],
    losses: Callable[[Candidate], int],
    questions: int,
    risk: float,
    confidence: float,
) -> list[tuple[Candidate, int, float]]:
    """Test candidates in their order, up to and including the first that is not certified.

    Args:
        candidates: in an order that does not depend on the certification questions
        losses: counts a candidate's losses among the certification questions
        questions: how many those are
        risk, confidence: what is to be certified

    Returns:
        [(candidate, losses, p-value)]; certified are those whose p-value is at most 1 - confidence: all but perhaps
        the last.
    """
    tested = []
    for candidate in candidates:
        count = losses(candidate)
        p = binomial_p_value(count, questions, risk)
        tested.append((candidate, count, p))
        if p > 1 - confidence:
            break
    return tested


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


@dataclass(frozen=True)
class Splits:
    """How often the promise held over many splits.

    certified: splits in which some candidate was certified
    broken: splits in which the unseen questions then lost more than promised
    broken_overall: splits in which the certified candidate loses more than promised over all the questions. This is
        what the promise is about; the unseen questions are a sample, and miss or meet a bound by chance as well.
    mean_loss, worst_loss: shares that the unseen questions lost, over splits with a certified candidate
    """

    certified: int
    broken: int
    broken_overall: int
    mean_loss: float
    worst_loss: float


def check_splits(lost: npt.NDArray[np.bool_], splits: int, risk: float, confidence: float, seed: int) -> Splits:
    """Certify on a random quarter of the questions and look at a random half of them, many times.

    That is `bskim-calibrate --risk` on half of a data set, of which a quarter finds candidates and a quarter certifies
    one, but for the candidates, which are the same in all splits and were found on questions that are not among these.

    Args:
        lost: bool [candidates, n], which questions each candidate loses, the safest candidate first
        splits: how many times

    Raises:
        InputError: a quarter of the questions cannot certify this risk.

    Example:
        >>> check_splits(np.zeros((1, 600), bool), 10, 0.02, 0.95, seed=0)
        Splits(certified=10, broken=0, broken_overall=0, mean_loss=0.0, worst_loss=0.0)
    """
    random = np.random.default_rng(seed)
    questions = lost.shape[1]
    quarter = questions // 4
    half = questions // 2
    check_size(quarter, risk, confidence)
    overall = lost.mean(axis=1)
    chosen: list[int] = []
    losses: list[float] = []
    for _ in range(splits):
        # Certify on the first quarter of a random order.
        order = random.permutation(questions)
        counts: list[int] = lost[:, order[:quarter]].sum(axis=1).tolist()
        tested = fixed_sequence(range(len(lost)), counts.__getitem__, quarter, risk, confidence)
        passed = [i for i, _, p in tested if p <= 1 - confidence]
        # Look at the last half, which nothing was chosen on.
        if passed:
            chosen.append(passed[-1])
            losses.append(float(lost[passed[-1], order[-half:]].mean()))
    return Splits(
        certified=len(chosen),
        broken=sum(x > risk for x in losses),
        broken_overall=sum(bool(overall[i] > risk) for i in chosen),
        mean_loss=float(np.mean(losses)) if losses else 0.0,
        worst_loss=max(losses, default=0.0),
    )
