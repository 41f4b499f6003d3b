import itertools
from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bskim_export.export.cpu.points import dropped_blocks, nested_sets


def test_dropped_blocks_are_counted_where_they_go():
    done = [
        SimpleNamespace(blocks=5, kept=np.array([4, 2, 2])),
        SimpleNamespace(blocks=3, kept=np.array([3, 3, 1])),
    ]
    assert dropped_blocks(done, [0, 1, 2]) == {0: 1, 1: 2, 2: 2}
    assert dropped_blocks(done, [1]) == {1: 2}
    assert dropped_blocks(done, []) == {}


def test_what_a_predictor_dropped_falls_to_the_next():
    # 0 saves one layer of its 9 blocks (1 would drop them), 1 saves three layers of its 4 (none follows).
    assert nested_sets({0: 9, 1: 4}, 4) == [(0, 1), (1,), ()]
    # Now it is 1 that hardly saves, and 0 that is left with layers 1 to 3.
    assert nested_sets({0: 9, 1: 2}, 4) == [(0, 1), (0,), ()]


@given(st.dictionaries(st.integers(0, 11), st.integers(0, 1000), max_size=8))
def test_sets_go_from_all_to_none_one_by_one(dropped):
    sets = nested_sets(dropped, 12)
    assert sets[0] == tuple(sorted(dropped))
    assert sets[-1] == ()
    for larger, smaller in itertools.pairwise(sets):
        assert len(larger) == len(smaller) + 1
        assert set(smaller) < set(larger)
        assert list(smaller) == sorted(smaller)
