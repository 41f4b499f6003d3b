"""The paper's first predictor, over the whole attention map: to repeat its Figure 3, not to deploy."""

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from bskim_export.errors import CheckpointError
from bskim_export.model.families.base import LayerShape
from bskim_export.model.predictors.base import BlockView, SkimPredictor


class WholeMapPredictor(SkimPredictor):
    """The CNN of DiagonalPredictor over the whole map of a layer: class 1 is keep.

    A block is judged by its rows of the map, averaged over the columns of real tokens: the paper leaves open how maps
    of different sizes meet one classifier. It costs S / k times as much as the diagonal, and is not exported.

    Shapes:
        view.probabilities: [B, heads, S, S] -> logits [B, K, 2]

    Raises:
        CheckpointError: the block size is not a multiple of 4.
    """

    reads: ClassVar[tuple[str, ...]] = ("probabilities",)
    macs = 0  # it is never exported, and so never counted
    question_macs = 0

    def __init__(self, shape: LayerShape, block_size: int = 32):
        super().__init__(shape, block_size)
        if block_size % 4:
            raise CheckpointError(
                f"The predictor 'map' pools twice: block_size must be a multiple of 4, got {block_size}."
            )
        heads = shape.num_heads
        self.rows = block_size // 4
        self.conv1 = nn.Conv2d(heads, heads, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(heads)
        self.conv2 = nn.Conv2d(heads, heads, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(heads)
        self.fc = nn.Linear(heads * self.rows, 2)

    def forward(self, view: BlockView) -> Tensor:
        assert view.probabilities is not None, "the view must hold what the predictor reads"
        real = view.real.flatten(1).float()
        # Both convolutions halve the map and the marks of its real columns.
        x, real = self._step(self.conv1, self.bn1, view.probabilities.float(), real)
        x, real = self._step(self.conv2, self.bn2, x, real)
        # Average each row over its real columns, then judge the rows of a block together.
        rows = x.sum(-1) / real.sum(-1)[:, None, None]  # [B, heads, S / 4]
        return self.fc(rows.unflatten(-1, (-1, self.rows)).transpose(1, 2).flatten(2))

    @staticmethod
    def _step(conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """Convolve, pool, and blank what belongs to padding, so that a window's result does not depend on its batch."""
        x = F.avg_pool2d(F.relu(norm(conv(x))), 2)
        real = F.max_pool1d(real[:, None], 2)[:, 0]
        return x * real[:, None, :, None] * real[:, None, None, :], real

    def export_form(self) -> nn.Module:
        """Refuse.

        Raises:
            CheckpointError: always.
        """
        raise CheckpointError(
            "Predictors of the kind 'map' exist to repeat the paper's Figure 3 and cannot be exported. Train with "
            "--predictor diagonal or question."
        )
