import os
from dataclasses import dataclass

import pytest

from bskim_export.calibrate.recipes import load_recipe
from bskim_export.errors import InputError
from bskim_export.export.int8.recipe import load_int8_recipe
from bskim_export.recipe_files import read_recipe


@dataclass(frozen=True)
class Mine:
    count: int = 1
    max_share: float | None = None
    fast: bool = False
    name: str = "x"


@pytest.mark.parametrize(
    ("text", "recipe"),
    [
        ("", Mine()),
        ("count = 3\nmax-share = 0.5", Mine(3, 0.5)),
        ("max-share = 1\nfast = true\nname = 'y'", Mine(1, 1, True, "y")),
    ],
)
def test_keys_are_the_fields_with_dashes_and_the_rest_are_defaults(tmp_path, text, recipe):
    (tmp_path / "mine.toml").write_text(text)
    assert read_recipe(str(tmp_path / "mine.toml"), Mine) == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cuont = 3", "unknown key 'cuont'.*count, max-share, fast, name"),
        ("max_share = 0.5", "unknown key 'max_share'"),
        ("count = 0.5", "count has a value of a wrong type: 0.5"),
        ("count = true", "count has a value of a wrong type: True"),
        ("count = [1]", "count has a value of a wrong type"),
        ("fast = 1", "fast has a value of a wrong type: 1"),
        ("max-share = 'much'", "max-share has a value of a wrong type: 'much'"),
        ("count = ", "is not valid TOML"),
        ("count = " + "[" * 5000, "is not valid TOML: it is nested deeper"),
        ("count = " + "1" * 5000, "is not valid TOML: Exceeds the limit"),
        ("max-share = nan", "max-share has a value of a wrong type: nan"),
        ("max-share = -inf", "max-share has a value of a wrong type: -inf"),
        ("count = " + "{a=" * 90 + "1" + "}" * 90, "count has a value of a wrong type"),
        ("count = 2024-01-01", "count has a value of a wrong type"),
        ("name = 'x'\nname = 'y'", "is not valid TOML"),
        ("name = '" + "x" * 2**20 + "'", "no recipe: it is larger than 1,048,576 bytes"),
    ],
)
def test_a_recipe_that_cannot_be_read_is_refused(tmp_path, text, message):
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(InputError, match=message):
        read_recipe(str(tmp_path / "mine.toml"), Mine)


def test_a_recipe_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "mine.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(InputError, match="is not valid TOML"):
        read_recipe(str(tmp_path / "mine.toml"), Mine)


@pytest.mark.parametrize("name", ["/dev/zero", "/", "a\0b", "x" * 5000, "pipe", "loop", ""])
def test_what_is_no_file_is_no_recipe(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    os.symlink("loop", "loop")
    with pytest.raises(InputError, match=r"There is no recipe|cannot be read"):
        read_recipe(name, Mine)


def test_an_unknown_name_lists_those_that_ship():
    with pytest.raises(InputError, match=r"There is no recipe 'nope'.*int8, squad, squad-risk"):
        read_recipe("nope", Mine)


def test_each_kind_of_recipe_has_its_own_keys(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('sample = 20\nmethod = "entropy"')
    assert load_int8_recipe("int8").method == "minmax"
    assert (load_int8_recipe(str(path)).sample, load_int8_recipe(str(path)).method) == (20, "entropy")
    with pytest.raises(InputError, match=r"unknown key 'held-out'.*dataset, sample, seed, method"):
        load_int8_recipe("squad")
    with pytest.raises(InputError, match=r"unknown key 'method'.*dataset, sample, held-out"):
        load_recipe("int8")
    path.write_text("sample = 0")
    with pytest.raises(InputError, match="at least 1"):
        load_int8_recipe(str(path))
