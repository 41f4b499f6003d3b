import pytest
from hypothesis import given
from hypothesis import strategies as st

from bskim_export.calibrate.counts import LEAST, check_counts, draw
from bskim_export.calibrate.recipes import Recipe
from bskim_export.data.question import Question
from bskim_export.errors import InputError

MANY = [Question(str(i), "Who?", "Ada.", ("Ada",), (0,)) for i in range(60)]


@given(st.integers(2, 60), st.integers(2, 40), st.integers(0, 40), st.integers(0, 9))
def test_calibration_and_held_out_questions_are_drawn_apart(available, sample, held_out, seed):
    recipe = Recipe(sample=sample, held_out=held_out, seed=seed)
    chosen, apart = draw(MANY[:available], recipe)
    ids = [q.id for q in chosen + apart]
    assert len(set(ids)) == len(ids)
    assert 2 <= len(chosen) <= sample or available < 3
    assert len(apart) <= held_out
    assert draw(MANY[:available], recipe) == (chosen, apart)
    if available >= sample + held_out:
        assert (len(chosen), len(apart)) == (sample, held_out)
    else:
        assert len(apart) <= available // 4


@given(st.integers(0, 3000), st.integers(0, 3000), st.integers(1, 2000), st.floats(0, 100))
def test_few_questions_are_refused_and_fewer_than_asked_for_are_told(calibration, held_out, missing, budget):
    recipe = Recipe(sample=max(2, calibration), held_out=held_out, max_f1_drop=budget)
    if calibration < LEAST:
        with pytest.raises(InputError, match=f"^{calibration} questions are too few"):
            check_counts(calibration + held_out, calibration, held_out, recipe)
        return
    enough = check_counts(calibration + held_out, calibration, held_out, recipe)
    assert any("cannot show" in line for line in enough) == (budget < 100 / calibration)
    assert not any("were asked for" in line for line in enough)
    fewer = Recipe(sample=calibration + missing, held_out=held_out, max_f1_drop=budget)
    (told,) = set(check_counts(calibration + held_out, calibration, held_out, fewer)) - set(enough)
    assert f"has {calibration + held_out:,} questions" in told
    assert f"where {calibration + held_out + missing:,} were asked for" in told


def test_nothing_is_said_of_what_is_usual():
    assert check_counts(10_570, 1000, 500, Recipe(max_f1_drop=0.2)) == []
    assert check_counts(10_570, 1000, 500, Recipe(risk=0.02)) == []
