from pathlib import Path

import pytest

from bskim_export.calibrate.recipes import Recipe, load_recipe, override
from bskim_export.errors import InputError

SHIPPED = sorted(p for p in (Path(__file__).parents[2] / "calibration").glob("*.toml") if p.stem != "int8")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.name)
def test_every_recipe_that_ships_can_be_read_by_name_and_by_path(path):
    recipe = load_recipe(path.stem)
    assert recipe == load_recipe(str(path))
    assert (recipe.max_f1_drop is None) != (recipe.risk is None)


def test_options_override_and_a_goal_replaces_the_goal():
    recipe = override(load_recipe("squad"), sample=10, seed=None)
    assert (recipe.sample, recipe.seed, recipe.max_f1_drop) == (10, 42, 0.2)
    recipe = override(recipe, risk=0.05, max_f1_drop=None)
    assert (recipe.risk, recipe.max_f1_drop) == (0.05, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sampel = 3", "unknown key 'sampel'.*dataset, sample, held-out"),
        ("sample = '3'", "sample has a value of a wrong type: '3'"),
        ("sample = 1", "sample must be at least 2"),
        ("risk = 1", "risk lies between 0 and 1"),
        ("max-f1-drop = -1", "max-f1-drop cannot be below 0"),
        ("max-f1-drop = 1\nrisk = 0.1", "not for both"),
        ("objective = 'speed'", "objective is one of macs, latency"),
        ("confidence = 0", "confidence lies between 0 and 1"),
        ("held-out = -1", "held-out must be at least 0"),
    ],
)
def test_a_recipe_that_cannot_be_meant_is_refused(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_recipe(str(path))


def test_the_defaults_ask_for_nothing():
    assert Recipe().max_f1_drop is Recipe().risk is None
