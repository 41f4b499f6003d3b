"""The interface of a skim predictor: from what a layer's attention leaves behind to a keep probability per block."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from bskim_export.model.families.base import LayerShape


@dataclass(frozen=True)
class BlockView:
    """One layer of B windows, cut into K blocks of k positions: all that predictors may read.

    question: bool [B, K, k], tokens of the first segment, its special tokens included
    real: bool [B, K, k], tokens, not padding
    diagonal: [B, K, heads, k, k], the attention of each block's positions to themselves
    context: [B, K, k, heads * head_size], the attention context: what the layer's output projection takes
    residual: [B, K, k, H], the hidden states that entered the layer
    probabilities: [B, heads, K * k, K * k], the whole attention map

    The last four are None where no predictor reads them.
    """

    question: Tensor
    real: Tensor
    diagonal: Tensor | None = None
    context: Tensor | None = None
    residual: Tensor | None = None
    probabilities: Tensor | None = None

    @property
    def passage(self) -> Tensor:
        """Return bool [B, K]: the passage blocks."""
        return self.real.any(-1) & ~self.question.any(-1)

    @property
    def judged(self) -> Tensor:
        """Return bool [B, K]: the blocks with a token of the passage, also one that the question shares."""
        return (self.real & ~self.question).any(-1)


class SkimPredictor(nn.Module, ABC):
    """A module that scores the blocks of a layer.

    reads: the fields of BlockView that it needs besides `question` and `real`

    Args:
        shape: the shape of the layer
        block_size: positions of a block
    """

    reads: ClassVar[tuple[str, ...]]

    def __init__(self, shape: LayerShape, block_size: int):
        super().__init__()

    @property
    @abstractmethod
    def macs(self) -> int:
        """Return the multiply-accumulates for one passage block."""

    @property
    @abstractmethod
    def question_macs(self) -> int:
        """Return the multiply-accumulates for one question block, if any passage block is scored."""

    @abstractmethod
    def forward(self, view: BlockView) -> Tensor:
        """Return logits [B, K, 2] of every block; class 1 is keep. Those of question blocks mean nothing."""

    @abstractmethod
    def export_form(self) -> nn.Module:
        """Return the trained predictor as it is exported, in evaluation mode: keep probability [P] of passage blocks.

        The names of its forward's arguments are the graph's inputs: outputs of the stage, or index inputs (see
        docs/architecture.md).
        """


def view_blocks(
    context: Tensor, residual: Tensor, probabilities: Tensor | None, question: Tensor, real: Tensor, block_size: int
) -> BlockView:
    """Cut a layer of B windows of S positions into blocks.

    Args:
        context: [B, S, heads * head_size]
        residual: [B, S, H]
        probabilities: [B, heads, S, S]; None if no predictor reads the map
        question: bool [B, S], tokens of the first segment, its special tokens included
        real: bool [B, S], tokens, not padding
    """
    split = (-1, block_size)
    return BlockView(
        question.unflatten(1, split),
        real.unflatten(1, split),
        None if probabilities is None else diagonal_blocks(probabilities, block_size),
        context.unflatten(1, split),
        residual.unflatten(1, split),
        probabilities,
    )


def reads_map(predictor: SkimPredictor) -> bool:
    """Return whether a predictor needs the attention map, which fused attention kernels do not give."""
    return bool({"diagonal", "probabilities"} & set(predictor.reads))


def diagonal_blocks(attention: Tensor, block_size: int) -> Tensor:
    """Return the diagonal blocks of attention maps: [B, heads, S, S] -> [B, K, heads, block_size, block_size].

    Example:
        >>> import torch
        >>> diagonal_blocks(torch.arange(16.0).reshape(1, 1, 4, 4), 2)[0, 1, 0].tolist()
        [[10.0, 11.0], [14.0, 15.0]]
    """
    blocks = attention.unflatten(-1, (-1, block_size)).unflatten(2, (-1, block_size))  # [B, h, K, k, K, k]
    return blocks.diagonal(dim1=2, dim2=4).permute(0, 4, 1, 2, 3)
