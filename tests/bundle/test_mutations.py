"""The short form of `make attack`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "attack"))
from bundles import attack


def test_whatever_stands_in_a_bundle_the_answer_is_right_or_the_error_names_the_place(tiny_bundle):
    done = attack(tiny_bundle("bert", (0, 1, 2), "question"), range(300), seed=1)
    assert done.failures == []
    assert done.verdicts["accident: refused"] > 60
    assert done.verdicts["stranger: refused"] > 40
    assert done.verdicts["other: refused"] > 10
