import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bskim_export.training.separation import RECALLS, separation

scored = st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=40).filter(
    lambda rows: len({positive for _, positive in rows}) == 2
)


@given(scored)
def test_auc_is_the_share_of_pairs_in_the_right_order(rows):
    scores, labels = np.array([s for s, _ in rows], float), np.array([int(p) for _, p in rows])
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[labels == 1] for b in scores[labels == 0]]
    np.testing.assert_allclose(separation(scores, labels).auc, np.mean(pairs))


@given(scored)
def test_kept_shares_are_the_least_that_keep_enough_answers(rows):
    scores, labels = np.array([s for s, _ in rows], float), np.array([int(p) for _, p in rows])
    for recall, kept in zip(RECALLS, separation(scores, labels).kept, strict=True):
        enough = [(scores >= t).mean() for t in np.unique(scores) if (scores >= t)[labels == 1].mean() >= recall - 1e-9]
        assert kept == min(enough)
