"""The paper's skim predictor (section "CNN Based Block Relevance Prediction"), and the form of it that is exported."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bskim_export.model.families.base import LayerShape
from bskim_export.model.predictors.base import BlockView, SkimPredictor

LANES = 16
"""Channels are padded to a multiple of this, the vector width of CPU convolutions and of tensor cores: 1.6x faster in
ONNX Runtime with 12 heads."""


class DiagonalPredictor(SkimPredictor):
    """Classifies one diagonal block of an attention map: class 1 is keep.

    conv3x3, BatchNorm, ReLU, average pooling, twice, then a linear layer. Parameter names as in the paper's released
    code, whose third convolution is never used and so is absent. Blocks that cannot be halved are not pooled, so that
    every block size works, down to single tokens.

    Shapes:
        view.diagonal: [B, K, heads, k, k], attention probabilities -> logits [B, K, 2]
    """

    reads: ClassVar[tuple[str, ...]] = ("diagonal",)

    def __init__(self, shape: LayerShape, block_size: int = 32):
        super().__init__(shape, block_size)
        heads = shape.num_heads
        self.pools = (2 if block_size % 2 == 0 else 1, 2 if block_size % 4 == 0 else 1)
        self.sizes = (block_size, block_size // self.pools[0], block_size // self.pools[0] // self.pools[1])
        self.conv1 = nn.Conv2d(heads, heads, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(heads)
        self.conv2 = nn.Conv2d(heads, heads, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(heads)
        self.fc = nn.Linear(heads * self.sizes[2] ** 2, 2)

    @property
    def macs(self) -> int:
        """Return the multiply-accumulates for one block (1.66 million with 12 heads and blocks of 32)."""
        heads = self.conv1.in_channels
        return 9 * heads**2 * (self.sizes[0] ** 2 + self.sizes[1] ** 2) + self.fc.weight.numel()

    @property
    def question_macs(self) -> int:
        """Return 0: question blocks are not looked at."""
        return 0

    def forward(self, view: BlockView) -> Tensor:
        assert view.diagonal is not None, "the view must hold what the predictor reads"
        judged = view.judged  # BatchNorm must see neither padding nor blocks of the question alone
        logits = self.classify(view.diagonal[judged])
        return logits.new_zeros(*judged.shape, 2).index_put((judged,), logits)

    def classify(self, diagonal: Tensor) -> Tensor:
        """Return the logits [P, 2] of diagonal blocks [P, heads, k, k]."""
        x = F.avg_pool2d(F.relu(self.bn1(_padded(self.conv1, diagonal))), self.pools[0])
        x = F.avg_pool2d(F.relu(self.bn2(_padded(self.conv2, x))), self.pools[1])
        return self.fc(x.flatten(1))

    def export_form(self) -> nn.Module:
        """Return the predictor as it is exported."""
        return InferencePredictor(self).eval()


def _padded(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Convolve with channels padded to LANES, channels last: up to twice as fast in training."""
    heads = conv.out_channels
    missing = -heads % LANES
    x = F.pad(x, (0, 0, 0, 0, 0, missing)).contiguous(memory_format=torch.channels_last)
    weight = F.pad(conv.weight, (0, 0, 0, 0, 0, missing, 0, missing))
    assert conv.bias is not None, "its convolutions have a bias"
    return F.conv2d(x, weight, F.pad(conv.bias, (0, missing)), padding=1)[:, :heads]


class InferencePredictor(nn.Module):
    """A trained DiagonalPredictor as it is exported: diagonal [P, heads, k, k] -> keep probability [P].

    The same function with less work: BatchNorm is folded into the convolutions, the last pooling into the classifier,
    and the two classes into their difference. Channels are padded to LANES.
    """

    def __init__(self, trained: DiagonalPredictor):
        super().__init__()
        heads = trained.conv1.in_channels
        channels = -(-heads // LANES) * LANES
        self.conv1 = _fold(trained.conv1, trained.bn1, heads, channels)
        self.conv2 = _fold(trained.conv2, trained.bn2, channels, channels)
        self.pool = trained.pools[0]
        pool = trained.pools[1]
        pooled = trained.sizes[2]
        # A sigmoid of the difference of two classes is the softmax of the second.
        difference = (trained.fc.weight[1] - trained.fc.weight[0]).reshape(heads, pooled, pooled)
        # A weight on the mean of a pool's cells is that weight, shared out among the cells.
        weight = difference.new_zeros(channels, pool * pooled, pool * pooled)
        weight[:heads] = difference.repeat_interleave(pool, 1).repeat_interleave(pool, 2) / pool**2
        self.fc = nn.Linear(weight.numel(), 1)
        self.fc.weight = nn.Parameter(weight.reshape(1, -1))
        self.fc.bias = nn.Parameter((trained.fc.bias[1] - trained.fc.bias[0]).reshape(1))

    def forward(self, diagonal: Tensor) -> Tensor:
        x = F.avg_pool2d(F.relu(self.conv1(diagonal)), self.pool)
        x = F.relu(self.conv2(x))
        return torch.sigmoid(self.fc(x.flatten(1))).squeeze(1)


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d, inputs: int, outputs: int) -> nn.Conv2d:
    """Return a convolution and the BatchNorm behind it as one convolution, from `inputs` to `outputs` channels.

    The channels that are added hold zeros.
    """
    assert conv.bias is not None, "its convolutions have a bias"
    assert norm.running_mean is not None, "its BatchNorm tracks statistics"
    assert norm.running_var is not None, "its BatchNorm tracks statistics"
    # The norm multiplies each output channel by `scale`, and then adds a constant.
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    # Padding channels: their weights stay 0.
    heads = conv.out_channels
    weight = conv.weight.new_zeros(outputs, inputs, 3, 3)
    bias = conv.weight.new_zeros(outputs)
    weight[:heads, : conv.in_channels] = conv.weight * scale[:, None, None, None]
    bias[:heads] = (conv.bias - norm.running_mean) * scale + norm.bias
    folded = nn.Conv2d(inputs, outputs, 3, padding=1)
    folded.weight = nn.Parameter(weight)
    folded.bias = nn.Parameter(bias)
    return folded
