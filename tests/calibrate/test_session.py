import numpy as np
import pytest

from bskim_export import QAPipeline
from bskim_export.calibrate.recipes import Recipe
from bskim_export.calibrate.session import Session
from bskim_export.data.question import Question
from bskim_export.errors import BundleError, InputError

MANY = [Question(str(i), "Who?", "Ada.", ("Ada",), (0,)) for i in range(60)]


@pytest.fixture(scope="module")
def tiny_qa(tiny_bundle):
    return QAPipeline(tiny_bundle(), threshold=0.5)


@pytest.fixture
def session(tiny_qa, squad, tmp_path):
    """Return a function: options of a recipe -> a session over the tiny bundle."""

    def make(**options) -> Session:
        recipe = Recipe(**{"sample": 20, "held_out": 4, "max_seq_len": 128, **options})
        return Session(tiny_qa, squad[:200], recipe, tmp_path, "this machine")

    return make


def test_evidence_says_what_it_was_measured_with(session, tiny_qa):
    found = session(max_f1_drop=3).calibrate()
    assert found["recipe"]["max_f1_drop"] == 3
    assert found["options"] == vars(tiny_qa.options(max_seq_len=128))
    assert (found["options"]["doc_stride"], found["options"]["max_answer_len"]) == (64, 30)
    assert found["machine"] == "this machine"
    assert found["calibration"]["questions"] == 20
    assert found["held_out"]["questions"] == 4
    assert list(found["thresholds"]) == [0, 1, 2]
    assert found["price"] is None
    assert found["warnings"] == [
        "20 questions cannot show a drop of 3 points: one question more or less that is lost makes 5. Expect the drop "
        "elsewhere to be within about 15."
    ]


def test_too_few_questions_are_refused_before_anything_is_run(session, tmp_path):
    for goal in ({"max_f1_drop": 50}, {"risk": 0.3}):
        with pytest.raises(InputError, match=r"19 questions are too few to calibrate on.*16% of other.*Pass 20 with"):
            session(sample=19, held_out=0, **goal).calibrate()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("spoil", ["garbage", "empty", "an array is missing", "an array is another", "deep"])
def test_a_spoiled_work_directory_is_done_again(spoil, session, tmp_path):
    goal = {"max_f1_drop": 30, "objective": "latency"}
    first = session(**goal).calibrate()
    for path in tmp_path.rglob("*.npz"):
        arrays = dict(np.load(path))
        name = sorted(set(arrays) - {"digest"})[0]
        if spoil == "an array is missing":
            del arrays[name]
        arrays |= {name: arrays[name][:-1]} if spoil == "an array is another" else {}
        np.savez(path, **arrays)
        if spoil in ("garbage", "empty", "deep"):
            path.write_bytes({"garbage": b"garbage\n", "empty": b"", "deep": b"[" * 100_000}[spoil])
    for path in tmp_path.rglob("price*.json"):
        content = {"empty": "", "garbage": "{}", "deep": "[" * 100_000}
        path.write_text(content.get(spoil, path.read_text()))
    again = session(**goal).calibrate()
    if "array" in spoil:  # the price is what was measured then; else it is measured anew
        assert again == first
    assert again["calibration"]["dense"]["f1"] == first["calibration"]["dense"]["f1"]


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
