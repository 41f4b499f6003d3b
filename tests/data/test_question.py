import random

import pytest

from bskim_export.data.question import Question, sample
from bskim_export.errors import InputError

FEW = [Question("1", "Where?", "In Poland.", ("Poland",), (3,)), Question("2", "When?", "In Poland.", (), ())]


def test_what_a_prediction_is_scored_against():
    assert FEW[0].gold == ("Poland",)
    assert FEW[1].gold == ()
    assert Question("3", "?", "In Poland.", ("Poland",), (3,), accepted=("Poland!", "PL")).gold == ("Poland!", "PL")


def test_sample_is_the_same_for_the_same_seed(squad):
    drawn = sample(squad, 50, seed=3)
    assert sample(squad, 50, seed=3) == drawn
    assert sample(squad, 50, seed=4) != drawn
    assert sample(squad, 50) == sample(squad, 50, seed=42)


def test_sample_draws_without_replacement_and_leaves_the_list_alone(squad):
    before = list(squad)
    drawn = sample(squad, 2000)
    assert len({q.id for q in drawn}) == 2000
    assert {q.id for q in drawn} < {q.id for q in squad}
    assert squad == before


def test_sample_does_not_depend_on_the_global_random_state(squad):
    random.seed(1)
    first = sample(squad, 5)
    random.seed(2)
    assert sample(squad, 5) == first


@pytest.mark.parametrize("limit", [None, 2, 3, 1000])
def test_sample_returns_all_if_there_are_no_more(limit):
    assert sample(FEW, limit) == FEW


@pytest.mark.parametrize("limit", [0, -1])
def test_sample_refuses_less_than_one(limit):
    with pytest.raises(InputError, match=f"The number of questions must be at least 1, got {limit}"):
        sample(FEW, limit)
