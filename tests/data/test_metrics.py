import random
import re
import string
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.text import squad as official

from bskim_export.data.metrics import (
    evaluate,
    exact_match,
    exact_match_squad2,
    f1,
    f1_squad2,
    normalize_answer,
    score,
)
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


# What the official scripts of SQuAD 2.0 (evaluate-v2.0.py) and MRQA (mrqa_official_eval.py) do, stated once more and
# otherwise: character by character, over dicts of ids, with a list of common words.


def words(text: str) -> list[str]:
    kept = "".join(character for character in text.lower() if character not in string.punctuation)
    return [word for word in re.split(r"\s+", re.sub(r"\b(?:the|an|a)\b", " ", kept)) if word]


def in_common(left: list[str], right: list[str]) -> int:
    return sum(min(n, Counter(right)[word]) for word, n in Counter(left).items())


def harmonic(left: list[str], right: list[str]) -> float:
    same = in_common(left, right)
    return 2 * same / (len(left) + len(right)) if same else 0


def official_squad2(gold: dict[str, list[str]], predictions: dict[str, str]) -> dict:
    exact = {}
    f1s = {}
    for key, texts in gold.items():
        candidates = [words(text) for text in texts if words(text)] or [[]]
        prediction = words(predictions[key])
        exact[key] = max(int(candidate == prediction) for candidate in candidates)
        f1s[key] = max(
            harmonic(prediction, candidate) if prediction and candidate else int(prediction == candidate)
            for candidate in candidates
        )
    result = {}
    for prefix, keys in {
        "": list(gold),
        "HasAns_": [k for k in gold if gold[k]],
        "NoAns_": [k for k in gold if not gold[k]],
    }.items():
        if keys:
            result[prefix + "exact"] = 100 * sum(exact[k] for k in keys) / len(keys)
            result[prefix + "f1"] = 100 * sum(f1s[k] for k in keys) / len(keys)
            result[prefix + "total"] = len(keys)
    return result


def official_mrqa(gold: dict[str, list[str]], predictions: dict[str, str]) -> dict:
    exact = [max(words(predictions[k]) == words(text) for text in texts) for k, texts in gold.items()]
    f1s = [max(harmonic(words(predictions[k]), words(text)) for text in texts) for k, texts in gold.items()]
    return {"exact_match": 100 * sum(exact) / len(gold), "f1": 100 * sum(f1s) / len(gold)}


def assert_equal_to_squad2(predictions: list[str], answers: list[list[str]]) -> None:
    ids = [str(n) for n in range(len(answers))]
    expected = official_squad2(dict(zip(ids, answers, strict=True)), dict(zip(ids, predictions, strict=True)))
    found = evaluate(predictions, answers)
    names = {"": found, "HasAns_": found.get("has_answer"), "NoAns_": found.get("no_answer")}
    for prefix, part in names.items():
        if prefix + "exact" in expected:
            assert part["em"] == pytest.approx(expected[prefix + "exact"])
            assert part["f1"] == pytest.approx(expected[prefix + "f1"])
            assert part.get("questions", len(answers)) == (expected[prefix + "total"])
        else:
            assert part is None


TEXTS = st.one_of(
    st.lists(st.sampled_from(["the", "a", "Denver", "denver,", "Broncos", "!", "won", " "]), max_size=4).map(" ".join),
    st.text(max_size=8),
)


@given(st.lists(st.tuples(TEXTS, st.lists(TEXTS, max_size=3)), min_size=1, max_size=6))
def test_scores_equal_squad_2s_where_any_question_has_no_answer(pairs):
    predictions = [p for p, _ in pairs]
    answers = [a for _, a in pairs]
    assert_equal_to_squad2([*predictions, ""], [*answers, []])


@given(st.lists(st.tuples(TEXTS, st.lists(TEXTS, min_size=1, max_size=3)), min_size=1, max_size=6))
def test_scores_equal_mrqas(pairs):
    predictions = {str(n): p for n, (p, _) in enumerate(pairs)}
    answers = {str(n): a for n, (_, a) in enumerate(pairs)}
    expected = official_mrqa(answers, predictions)
    exact, mean_f1 = score(list(predictions.values()), list(answers.values()))
    assert exact == pytest.approx(expected["exact_match"])
    assert mean_f1 == pytest.approx(expected["f1"])
    found = evaluate(list(predictions.values()), list(answers.values()))
    assert found == {"em": exact, "f1": mean_f1}


@pytest.mark.parametrize("seed", [0, 1])
def test_real_questions_score_as_the_official_scripts_score_them(squad, seed):
    rng = random.Random(seed)
    questions = sample(squad, 300, seed=seed)
    predictions = [perturb(rng.choice(q.answers), q.context, rng) for q in questions]
    answers = [list(q.answers) for q in questions]
    expected = official_mrqa(dict(enumerate(answers)), dict(enumerate(predictions)))
    assert evaluate(predictions, answers) == pytest.approx({"em": expected["exact_match"], "f1": expected["f1"]})

    answers = [a if rng.random() < 0.5 else [] for a in answers]
    assert_equal_to_squad2(predictions, answers)
    assert 0 < evaluate(predictions, answers)["no_answer"]["em"] < 50


@pytest.mark.parametrize(
    ("prediction", "answers", "exact", "expected_f1"),
    [
        ("", [], 1, 1),
        ("the", [], 1, 1),  # says nothing after normalisation
        ("Denver", [], 0, 0),
        ("", ["Denver"], 0, 0),
        ("", ["the", "Denver"], 0, 0),  # an answer that says nothing does not count beside one that does
        ("a", ["the"], 1, 1),
        ("Denver", ["the"], 0, 0),
        ("Denver", ["Denver Broncos"], 0, 2 / 3),
    ],
)
def test_squad_2_question_by_question(prediction, answers, exact, expected_f1):
    assert exact_match_squad2(prediction, answers) == exact
    assert f1_squad2(prediction, answers) == pytest.approx(expected_f1)
