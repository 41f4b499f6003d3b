"""A predictor that matches a block's tokens with the question's: it knows more in early layers, and costs less."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bskim_export.model.families.base import LayerShape
from bskim_export.model.predictors.base import BlockView, SkimPredictor

WIDTH = 32
"""Features of a token. Projecting to them is nearly all of the predictor's cost: 1.4 % of a MiniLM layer, 0.7 % of a
BERT-base layer."""
HEADS = 2
"""Similarities between two tokens: the cosines of so many parts of their features."""
HIDDEN = 64
"""Width of the perceptron's hidden layer."""
SPREAD = 8.0
"""Cosines of a pair of texts lie close together; this brings their differences to the order of the other features."""


class QuestionPredictor(SkimPredictor):
    """Classifies a block by what it has in common with the question: class 1 is keep.

    The attention context and the residual of each token are projected to WIDTH features. From these come
    - late interaction (ColBERT, Khattab and Zaharia 2020): each question token's best cosine in the block, averaged
      over the question with learned weights; for each of HEADS parts of the features; and how far that is behind the
      best and above the mean of the window's blocks;
    - the mean and maximum over the block's tokens of ReLU(features + a transform of the question's mean);
    and a two-layer perceptron judges them beside the question's mean. The attention map is not read, so stages may use
    fused attention kernels, which do not give it.

    Shapes:
        view.context: [B, K, k, heads * head_size], view.residual: [B, K, k, H] -> logits [B, K, 2]
    """

    reads: ClassVar[tuple[str, ...]] = ("context", "residual")

    def __init__(self, shape: LayerShape, block_size: int = 32):
        super().__init__(shape, block_size)
        self.block_size = block_size
        self.context = nn.Linear(shape.context_size, WIDTH, bias=False)
        self.residual = nn.Linear(shape.hidden_size, WIDTH)
        self.weight = nn.Linear(WIDTH, HEADS)
        self.question = nn.Linear(WIDTH, WIDTH)
        self.dense = nn.Linear(3 * HEADS + 3 * WIDTH, HIDDEN)
        self.fc = nn.Linear(HIDDEN, 2)

    @property
    def macs(self) -> int:
        """Return the multiply-accumulates for one passage block and a question of one block (0.8 million in MiniLM)."""
        matching = self.block_size**2 * (WIDTH + HEADS)
        return self.question_macs + matching + self.dense.weight.numel() + self.fc.weight.numel()

    @property
    def question_macs(self) -> int:
        """Return the multiply-accumulates for one question block: the projection of its tokens."""
        return self.block_size * (self.context.weight.numel() + self.residual.weight.numel())

    def forward(self, view: BlockView) -> Tensor:
        features = (self.context(view.context) + self.residual(view.residual)).float()  # [B, K, k, WIDTH]
        passage = (view.real & ~view.question).float().flatten(1)  # [B, K * k]
        # A question stands in the first blocks: take as many as the longest one of the batch has.
        blocks = max(1, int(view.question.any(-1).sum(-1).max()))
        asked = features[:, :blocks].flatten(1, 2)
        question = view.question[:, :blocks].float().flatten(1)
        return self.fc(F.relu(self.dense(self.match(features, passage, asked, question))))

    def match(self, features: Tensor, passage: Tensor, asked: Tensor, question: Tensor) -> Tensor:
        """Return the features of each block that the perceptron judges, [B, K, 3 * HEADS + 3 * WIDTH].

        Args:
            features: [B, K, k, WIDTH]
            passage: float [B, K * k], 1 for a passage token
            asked: [B, A, WIDTH], the features of the first A tokens, which hold the question
            question: float [B, A], 1 for a token of the question
        """
        windows, width, size = features.shape[:3]

        # Cosine of each question token with each token: at most -1 where that is no passage token, so never the best.
        theirs = _unit(asked).permute(0, 2, 1, 3)  # [B, HEADS, A, d]
        ours = _unit(features.reshape(windows, width * size, WIDTH)).permute(0, 2, 3, 1)  # [B, HEADS, d, K * k]
        cosine = torch.matmul(theirs, ours) + (passage - 1)[:, None, None] * 2

        # Each question token's best cosine in a block, averaged over the question with learned weights.
        best = cosine.reshape(windows, HEADS, -1, width, size).amax(-1)  # [B, HEADS, A, K]
        share = (self.weight(asked) + (question - 1)[..., None] * 1e4).softmax(1).transpose(1, 2).unsqueeze(2)
        found = torch.matmul(share, best).squeeze(2).transpose(1, 2) * SPREAD  # [B, K, HEADS]

        # The best and the mean of the window's passage blocks. A block without passage tokens counts for neither.
        tokens = passage.reshape(windows, width, size)
        there = tokens.amax(-1, keepdim=True)  # [B, K, 1]
        most = (found * there + (there - 1) * SPREAD).amax(1, keepdim=True)
        mean = (found * there).sum(1, keepdim=True) / there.sum(1, keepdim=True).clamp(min=1)

        # The mean of the question's tokens, transformed, meets every token of the block.
        vector = (asked * question[..., None]).sum(1) / question.sum(1, keepdim=True).clamp(min=1)
        vector = self.question(vector)  # [B, WIDTH]
        met = F.relu(features + vector[:, None, None]) * tokens[..., None]
        pooled = [met.sum(2) / tokens.sum(-1, keepdim=True).clamp(min=1), met.amax(2)]
        return torch.cat([found, found - most, found - mean, *pooled, vector[:, None].expand(-1, width, -1)], -1)

    def export_form(self) -> nn.Module:
        """Return the predictor as it is exported."""
        return PackedQuestionPredictor(self).eval()


class PackedQuestionPredictor(nn.Module):
    """A trained QuestionPredictor as it is exported: the same function on what a stage leaves.

    Inputs, as blocks.Grid and the stages name them; N live blocks, B windows, a grid of width M, P passage blocks:
        context: [B * M, k, heads * head_size], an output of the stage
        residual: [N, k, H], an output of the stage
        table: int64 [B, M], the packed block of each cell
        passage: float [B, M * k], 1 for a passage token
        asked: int64 [B, Q], the cells of the question blocks
        question: float [B, Q * k], 1 for a token of the question
        scored: int64 [P], the cells of the passage blocks
    Output:
        keep probability [P]
    """

    def __init__(self, trained: QuestionPredictor):
        super().__init__()
        self.trained = trained
        # A sigmoid of the difference of two classes is the softmax of the second.
        self.fc = nn.Linear(HIDDEN, 1)
        self.fc.weight = nn.Parameter(trained.fc.weight[1:] - trained.fc.weight[:1])
        self.fc.bias = nn.Parameter(trained.fc.bias[1:] - trained.fc.bias[:1])

    def forward(
        self,
        context: Tensor,
        residual: Tensor,
        table: Tensor,
        passage: Tensor,
        asked: Tensor,
        question: Tensor,
        scored: Tensor,
    ) -> Tensor:
        own = self.trained
        windows, width = table.shape
        # The residual is projected packed and then laid out on the grid: it is narrower by then.
        context = context.float()  # half precision ends here
        residual = residual.float()
        features = own.context(context) + own.residual(residual).index_select(0, table.reshape(-1))  # [B * M, k, WIDTH]
        # Match on the grid, where a window's blocks stand together, and judge the passage blocks alone.
        first = features.index_select(0, asked.reshape(-1)).reshape(windows, asked.shape[1] * own.block_size, WIDTH)
        grid = features.reshape(windows, width, own.block_size, WIDTH)
        matched = own.match(grid, passage, first, question)
        judged = matched.reshape(windows * width, matched.shape[-1]).index_select(0, scored)
        return torch.sigmoid(self.fc(F.relu(own.dense(judged)))).squeeze(1)


def _unit(features: Tensor) -> Tensor:
    """Split features into parts of length 1: [B, T, WIDTH] -> [B, T, HEADS, d]."""
    return F.normalize(features.reshape(*features.shape[:2], HEADS, WIDTH // HEADS), dim=-1)
