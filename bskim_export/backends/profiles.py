"""Optimization profiles: how large the inputs of a graph may get, from how long windows are and how many run together.

Standard library only. The axes of each input are those of `bundle.tensors`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bskim_export.blocks import count_blocks
from bskim_export.bundle.tensors import TENSORS, Sizes, fixed_sizes
from bskim_export.errors import InputError

Shape = tuple[int, ...]
ShapeRange = tuple[Shape, Shape, Shape]
"""The least, the usual and the largest shape of an input."""


@dataclass(frozen=True)
class Profile:
    """The sizes that an engine is compiled for.

    batch_size: windows that run together: the usual number and the most
    length: positions of a window: the usual number and the most
    """

    batch_size: tuple[int, int]
    length: tuple[int, int]

    def __post_init__(self) -> None:
        for name in ("batch_size", "length"):
            usual, most = getattr(self, name)
            if not 1 <= usual <= most:
                raise InputError(f"A profile's {name} needs 1 <= opt <= max, got opt {usual}, max {most}.")

    @classmethod
    def of(cls, longest: int, max_batch_size: int = 8) -> "Profile":
        """Return the profile for windows of up to `longest` positions, in batches of up to `max_batch_size`."""
        return cls((max_batch_size, max_batch_size), (longest, longest))

    def shapes(self, inputs: Sequence[str], model: Sizes) -> dict[str, ShapeRange]:
        """Return the least, the usual and the largest shape of each input.

        Args:
            inputs: rows of `bundle.tensors`
            model: decides the fixed axes

        Example:
            >>> from types import SimpleNamespace
            >>> model = SimpleNamespace(block_size=32, num_heads=12, head_size=32, hidden_size=384)
            >>> Profile((1, 8), (192, 384)).shapes(["table", "mask"], model)
            {'table': ((1, 1), (1, 6), (8, 12)), 'mask': ((1, 32), (1, 192), (8, 384))}
        """
        usual_width, largest_width = (count_blocks(n, model.block_size) for n in self.length)
        least = _axis_sizes(model, 1, 1)
        usual = _axis_sizes(model, self.batch_size[0], usual_width)
        largest = _axis_sizes(model, self.batch_size[1], largest_width)
        return {name: (_shape(name, least), _shape(name, usual), _shape(name, largest)) for name in inputs}

    def check(self, feeds: Mapping[str, Shape], inputs: Mapping[str, ShapeRange]) -> None:
        """Raise InputError if an input's shape is outside the profile, so that nothing is ever rebuilt for it.

        Args:
            feeds: the shape of each input
            inputs: the result of `shapes`
        """
        for name, shape in feeds.items():
            least, _, most = inputs[name]
            if any(not low <= n <= high for n, low, high in zip(shape, least, most, strict=True)):
                raise InputError(
                    f"Input '{name}' of shape {shape} is outside what the engine was built for, {least} to {most}: "
                    f"windows of up to {self.length[1]} positions, {self.batch_size[1]} together. Pass fewer or "
                    "shorter windows (batch_size, max_seq_len), or export with a larger profile (--max-batch)."
                )


def _axis_sizes(model: Sizes, windows: int, width: int) -> dict[str, int]:
    """Return the size of every axis where `windows` windows of `width` live blocks run together."""
    # Any block may be one of the passage, and any one of the question.
    dynamic = {"windows": windows, "width": width, "question_blocks": width}
    dynamic |= dict.fromkeys(("blocks", "blocks_before", "cells", "cells_before", "passage_blocks"), windows * width)
    return fixed_sizes(model) | dynamic


def _shape(name: str, sizes: Mapping[str, int]) -> Shape:
    """Return the shape of a tensor of the table; an axis may be a product of two sizes."""
    return tuple(math.prod(sizes[factor] for factor in axis.split(" * ")) for axis in TENSORS[name].axes)
