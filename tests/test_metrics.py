import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.text import squad as official

from bskim_export.data.metrics import exact_match, f1, normalize_answer, score
from bskim_export.data.question import sample


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The Denver Broncos", "denver broncos"),
        ("  Denver\t\n Broncos\u00a0", "denver broncos"),
        ("an apple a day", "apple day"),
        ("A.", ""),
        ("THE", ""),
        ("theatre, Anna's", "theatre annas"),
        ("Denver-Broncos", "denverbroncos"),
        ("the-end", "theend"),  # punctuation goes before the articles
        ("a.m.", "am"),
        ("$1,000.50", "100050"),
        ("«Żółć», 東京", "«żółć» 東京"),  # only ASCII punctuation goes
        ("–10 °C", "–10 °c"),
        ("STRASSE straße", "strasse straße"),
        ("", ""),
    ],
)
def test_normalisation_is_the_official_one(text, normal):
    assert normalize_answer(text) == normal


@given(st.text())
def test_normalised_text_has_single_spaces_and_nothing_left_to_lower(text):
    normal = normalize_answer(text)
    assert normal == " ".join(normal.split())
    assert normal == normal.lower()


@pytest.mark.parametrize(
    ("prediction", "answers", "expected"),
    [
        ("denver broncos!", ["The Denver Broncos"], 1.0),
        ("Denver", ["The Denver Broncos"], 0.0),
        ("Broncos", ["Denver Broncos", "the Broncos"], 1.0),
        ("", ["Denver"], 0.0),
        ("", ["the"], 1.0),
        ("Zolc", ["Żółć"], 0.0),
        ("x", [], 0.0),
    ],
)
def test_exact_match(prediction, answers, expected):
    assert exact_match(prediction, answers) == expected


@pytest.mark.parametrize(
    ("prediction", "answers", "expected"),
    [
        ("the Denver Broncos team", ["Denver Broncos"], 4 / 5),
        ("Broncos Denver", ["Denver Broncos"], 1.0),  # order does not count
        ("blue blue", ["blue"], 2 / 3),  # a word counts as often as both have it
        ("Denver", ["Denver Broncos", "Carolina"], 2 / 3),
        ("Denver", ["Carolina", "Denver Broncos", "Denver"], 1.0),
        ("Żółć 東京", ["żółć"], 2 / 3),
        ("New York", ["Denver"], 0.0),
        ("", ["Denver"], 0.0),
        ("the", ["Denver"], 0.0),
        ("", [""], 0.0),  # SQuAD 1.1 has no unanswerable questions: no common word is no credit
        ("x", [], 0.0),
    ],
)
def test_f1(prediction, answers, expected):
    assert f1(prediction, answers) == pytest.approx(expected)


@given(st.text(), st.lists(st.text(), max_size=3))
def test_f1_lies_between_exact_match_and_one_where_words_are_left(prediction, answers):
    value = f1(prediction, answers)
    assert 0 <= value <= 1
    if normalize_answer(prediction):
        assert exact_match(prediction, answers) <= value + 1e-12


def test_score_is_the_mean_in_percent():
    exact, mean_f1 = score(["Denver", "Carolina Panthers", "x"], [["denver"], ["Panthers"], ["y", "z"]])
    assert exact == pytest.approx(100 / 3)
    assert mean_f1 == pytest.approx(100 * (1 + 2 / 3) / 3)


def test_score_refuses_different_lengths():
    with pytest.raises(ValueError, match="shorter"):
        score(["a", "b"], [["a"]])


def perturb(answer: str, context: str, rng: random.Random) -> str:
    """Return a prediction as models make them: the answer, or more, less or other text than it."""
    words = answer.split()
    at = context.find(answer)
    return rng.choice(
        [
            answer,
            f"The {answer.upper()}.",
            " ".join(words[1:]),
            " ".join(words[:-1]),
            f"{words[0]} {answer}",
            context[max(0, at - rng.randint(1, 30)) : at + len(answer) + rng.randint(0, 30)],
            " ".join(rng.sample(context.split(), 3)),
            "",
        ]
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_scores_equal_those_of_torchmetrics(squad, seed):
    rng = random.Random(seed)
    questions = sample(squad, 300, seed=seed)
    predictions = [perturb(rng.choice(q.answers), q.context, rng) for q in questions]
    singles = []
    for question, prediction in zip(questions, predictions, strict=True):
        gold = {"id": question.id, "answers": {"text": list(question.answers), "answer_start": list(question.starts)}}
        singles.append(({"id": question.id, "prediction_text": prediction}, gold))
        single = official([singles[-1][0]], [gold])
        assert 100 * exact_match(prediction, question.answers) == single["exact_match"].item()
        assert 100 * f1(prediction, question.answers) == pytest.approx(single["f1"].item(), rel=1e-6)

    whole = official([p for p, _ in singles], [g for _, g in singles])
    exact, mean_f1 = score(predictions, [q.answers for q in questions])
    assert exact == pytest.approx(whole["exact_match"].item(), rel=1e-6)
    assert mean_f1 == pytest.approx(whole["f1"].item(), rel=1e-6)
    assert 10 < exact < mean_f1 < 90  # the predictions are neither all right nor all wrong
