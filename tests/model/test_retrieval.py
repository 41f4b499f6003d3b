import numpy as np
import pytest
import torch

from bskim_export.model.retrieval import PART, WIDTH, RetrievalPredictor, match
from bskim_export.runtime.prepared.choosing import score_blocks


@pytest.fixture(scope="module")
def predictor() -> RetrievalPredictor:
    torch.manual_seed(0)
    return RetrievalPredictor(24, 8, torch.nn.Identity()).eval()


@torch.no_grad()
def test_features_have_length_one_and_those_of_parts_without_tokens_are_zero(predictor):
    states = torch.randn(3, 8, 24)
    real = torch.tensor([[True] * 8, [True] * 3 + [False] * 5, [False] * 8])
    found = predictor.features(states, real)
    assert found.shape == (3, 8 // PART, WIDTH)
    torch.testing.assert_close(found.norm(dim=-1), torch.tensor([[1.0, 1], [1, 0], [0, 0]]))
    other = torch.where(real[..., None], states, torch.randn(3, 8, 24))  # what padding holds does not matter
    torch.testing.assert_close(predictor.features(other, real), found)


@torch.no_grad()
def test_weights_of_a_questions_tokens_sum_up_to_the_scale_and_padding_asks_for_nothing(predictor):
    states = torch.randn(2, 8, 24)
    real = torch.arange(8) < torch.tensor([[8], [3]])
    found = predictor.queries(states, real)
    assert found.shape == (2, 8, WIDTH)
    torch.testing.assert_close(found.norm(dim=-1).sum(1), predictor.scale.detach().expand(2))
    assert found[1, 3:].abs().max() == 0
    torch.testing.assert_close(predictor.queries(states[1:, :3], real[1:, :3])[0], found[1, :3])


@torch.no_grad()
def test_a_score_is_the_sum_over_the_questions_tokens_of_their_best_part(predictor):
    real = torch.arange(8) < torch.tensor([[8], [5], [8]])
    queries = predictor.queries(torch.randn(3, 8, 24), real)
    features = predictor.features(torch.randn(4, 8, 24), torch.ones(4, 8).bool())
    found = match(queries, features)
    assert found.shape == (3, 4)
    for q in range(3):
        for n in range(4):
            score = sum(max(float(token @ part) for part in features[n]) for token in queries[q])
            assert found[q, n] == pytest.approx(score, abs=1e-4)
        asked = queries[q][real[q]].numpy()  # as the runtime keeps it
        np.testing.assert_allclose(score_blocks(asked, features.numpy()), found[q].numpy(), atol=1e-4)


def test_scores_are_exact_under_autocast(predictor):
    queries, features = torch.randn(2, 3, WIDTH), torch.randn(5, 2, WIDTH)
    exact = match(queries, features)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(match(queries, features), exact)
