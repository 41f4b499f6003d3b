"""The predictor of a split model: which blocks of a document a question needs, from features that can be kept."""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bskim_export.errors import CheckpointError

PART = 4
"""Positions that share one vector of features. Pooled so, a collection of documents is scanned four times faster."""
WIDTH = 64
"""Features of a part, and of a token of the question."""
HIDDEN = 256
SCALE = 20.0
"""Cosines times this are what the loss takes for logits at first; training moves it."""


class RetrievalPredictor(nn.Module):
    """Scores any block for any question from features that do not depend on each other.

    Late interaction (ColBERT, Khattab and Zaharia 2020) between the question's tokens and the parts of a block, PART
    positions each (token pooling, Clavie et al. 2024): each token of the question looks for the part that is most like
    it, by cosine, and these are averaged with weights that are learned. So a document's features are made once, and a
    question's scores are one matrix product with them.

    It has a layer of its own above the lower ones, which begins as a copy of the first that reads both: to know what a
    text is about takes one more layer than to be ready to be read together with a question.

    Args:
        hidden_size: width H of the hidden states
        block_size: positions of a block, a multiple of PART
        layer: the model's first upper layer, which is copied

    Raises:
        CheckpointError: the block size is none.
    """

    def __init__(self, hidden_size: int, block_size: int, layer: nn.Module):
        super().__init__()
        if block_size % PART:
            raise CheckpointError(f"A split model needs blocks of a multiple of {PART} positions, not {block_size}.")
        self.block_size = block_size
        self.layer = copy.deepcopy(layer)
        self.passage = nn.Sequential(nn.Linear(PART * hidden_size, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, WIDTH))
        self.question = nn.Sequential(nn.Linear(hidden_size, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, WIDTH))
        self.weight = nn.Linear(hidden_size, 1)
        self.scale = nn.Parameter(torch.tensor(SCALE))

    @property
    def parts(self) -> int:
        """Return how many vectors of features a block has."""
        return self.block_size // PART

    def features(self, states: Tensor, real: Tensor) -> Tensor:
        """Return the features of blocks, float32 [..., parts, WIDTH]: of length 1, or 0 for a part without tokens.

        Args:
            states: [..., block_size, H], the hidden states behind this predictor's own layer
            real: bool [..., block_size], tokens, not padding
        """
        states = states * real[..., None]
        found = self.passage(states.unflatten(-2, (self.parts, PART)).flatten(-2)).float()
        there = real.unflatten(-1, (self.parts, PART)).any(-1)
        return F.normalize(found, dim=-1) * there[..., None]

    def queries(self, states: Tensor, real: Tensor) -> Tensor:
        """Return what a question asks for: float32 [..., T, WIDTH], each token's features times its weight.

        Args:
            states: [..., T, H], the hidden states of the question behind this predictor's own layer
            real: bool [..., T]
        """
        weight = self.weight(states).float().squeeze(-1).masked_fill(~real, -1e4).softmax(-1) * real
        return F.normalize(self.question(states).float(), dim=-1) * (weight * self.scale)[..., None]


def match(queries: Tensor, features: Tensor) -> Tensor:
    """Return the score of every block for every question, [Q, N].

    The weights are not negative, so the best part of a weighted token is that of the token.

    Args:
        queries: [Q, T, WIDTH]
        features: [N, parts, WIDTH]
    """
    with torch.autocast(queries.device.type, enabled=False):  # bfloat16 would round the order of blocks away
        found = torch.einsum("qtf,npf->qtnp", queries, features)
    return found.amax(-1).sum(1)
