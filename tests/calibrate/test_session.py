import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bskim_export import QAPipeline
from bskim_export.calibrate.recipes import Recipe
from bskim_export.calibrate.session import Session, draw
from bskim_export.data.question import Question
from bskim_export.errors import BundleError, InputError

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


@pytest.fixture(scope="module")
def tiny_qa(tiny_bundle):
    return QAPipeline(tiny_bundle(), threshold=0.5)


@pytest.fixture
def session(tiny_qa, squad, tmp_path):
    """Return a function: options of a recipe -> a session over the tiny bundle."""

    def make(**options) -> Session:
        recipe = Recipe(sample=12, held_out=4, max_seq_len=128, **options)
        return Session(tiny_qa, squad[:200], recipe, tmp_path, "this machine")

    return make


def test_evidence_says_what_it_was_measured_with(session, tiny_qa):
    found = session(max_f1_drop=3).calibrate()
    assert found["recipe"]["max_f1_drop"] == 3
    assert found["options"] == vars(tiny_qa.options(max_seq_len=128))
    assert (found["options"]["doc_stride"], found["options"]["max_answer_len"]) == (64, 30)
    assert found["machine"] == "this machine"
    assert found["calibration"]["questions"] == 12
    assert found["held_out"]["questions"] == 4
    assert list(found["thresholds"]) == [0, 1, 2]
    assert found["price"] is None


def test_the_price_is_measured_once_and_used(session, monkeypatch):
    first = session(max_f1_drop=3, objective="latency").calibrate()
    monkeypatch.setattr("bskim_export.calibrate.session.measure_price", None)
    assert session(max_f1_drop=3, objective="latency").calibrate() == first
    assert len(first["price"]["seconds"]) == 6


def test_losses_are_of_the_held_out_questions_that_need_a_block(tiny_qa, squad, tmp_path):
    recipe = Recipe(sample=12, held_out=40, risk=0.3, confidence=0.6, max_seq_len=128)
    session = Session(tiny_qa, squad[:200], recipe, tmp_path, "this machine")
    simulated, thresholds = session.losses(simulated=True)
    true, again = session.losses(simulated=False)
    assert np.array_equal(thresholds, again)
    assert simulated.shape == true.shape == (len(thresholds), 40)
    assert (simulated == true).mean() > 0.9


def test_a_recipe_without_a_goal_is_refused(session):
    with pytest.raises(InputError, match="no goal: set max_f1_drop or risk"):
        session().calibrate()
    with pytest.raises(InputError, match="no goal"):
        session(max_f1_drop=1).losses(simulated=True)


def test_a_bundle_without_predictors_is_refused(tiny_bundle, tmp_path):
    dense = QAPipeline(tiny_bundle("bert", ()))
    with pytest.raises(BundleError, match="no skim predictors"):
        Session(dense, MANY, Recipe(max_f1_drop=1), tmp_path, "this machine")


def test_windows_that_the_bundle_does_not_take_are_refused(tiny_qa, tmp_path):
    with pytest.raises(InputError, match="max_seq_len is 9999; the bundle was exported for at most 384"):
        Session(tiny_qa, MANY, Recipe(max_f1_drop=1, max_seq_len=9999), tmp_path, "this machine")
