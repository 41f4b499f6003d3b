"""The ranges and outlier channels of a model's activations on real windows, so that they can be quantised."""

import contextlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from onnxruntime.quantization.calibrate import HistogramCollector
from torch import Tensor, nn

from bskim_export.errors import InputError
from bskim_export.export.int8.recipe import METHODS
from bskim_export.export.torch_reference import torch_inputs
from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.runtime.windows import Window

PERCENTILE = 99.99
SMOOTHING = 0.85
"""How much of an outlier channel's size moves from the activation into the weight: alpha of SmoothQuant, equation 4.
On the MiniLM of examples/, 13 of 200 answers changed at 0.85, 26 without smoothing."""
OUTLIERS = 2
"""Channels of a wide activation that are not quantised. On the same model two of 1,536 made half of the error: without
them it is 0.068 of a logit instead of 0.122 (root mean square, simulated). More than two gain nothing."""


@dataclass(frozen=True)
class ActivationStats:
    """The activations that a weight multiplies.

    smoothing: float32 [in], what each channel is divided by before it is quantised, and the weight's row multiplied by
    least, most: of the values after that, outliers left out
    outliers: int64 [OUTLIERS or 0], the channels that are multiplied in fp32 instead
    """

    smoothing: np.ndarray
    least: float
    most: float
    outliers: np.ndarray


@torch.no_grad()
def measure_activations(
    model: BlockSkimForQuestionAnswering,
    windows: Sequence[Window],
    method: str = "minmax",
    progress: Callable[[], None] = lambda: None,
) -> dict[int, ActivationStats]:
    """Return the statistics of the activations that a model's weights multiply, by the id of the weight.

    A few channels of a transformer's activations are many times larger than the others and would cost those their
    resolution; they are evened out first (SmoothQuant, https://arxiv.org/abs/2211.10438). Weights that read the same
    tensor share its smoothing. A weight that several layers share (ALBERT) has one entry for all of them.

    The second product of an FFN, the one whose input is wider than its output, reads channels so large that evening
    them out costs the weights their resolution. The largest are left in fp32, as in LLM.int8()
    (https://arxiv.org/abs/2208.07339), which finds them anew in every input.

    Args:
        windows: real ones, a hundred or so; the model runs over them twice
        method: "minmax"; or narrower, so that rare values do not cost the others their resolution: "percentile"
            (99.99 % of the values) or "entropy" (least Kullback-Leibler divergence), both by ONNX Runtime's collector
        progress: called after each window of each pass

    Raises:
        InputError: there is no such method, or no window.
    """
    if method not in METHODS:
        raise InputError(f"There is no calibration method '{method}'. Choose one of: {', '.join(METHODS)}.")
    if not windows:
        raise InputError("INT8 needs real questions to see what values the model computes with; there are none.")
    groups = _group_readers(model, windows[0])
    place = {id(module): i for i, group in enumerate(groups) for module in group}

    # First pass: the largest absolute value of each channel.
    largest = [torch.zeros(group[0].in_features) for group in groups]

    def add_size(module: nn.Linear, activation: Tensor) -> None:
        i = place[id(module)]
        largest[i] = torch.maximum(largest[i], activation.abs().flatten(0, -2).amax(0))

    for window in windows:
        _visit_linears(model, window, add_size)
        progress()
    smoothing = [_smooth(size, group) for size, group in zip(largest, groups, strict=True)]
    outliers = [_choose_outliers(size, group[0]) for size, group in zip(largest, groups, strict=True)]

    # Second pass: the range of what is left to quantise, once channels are even and outliers are gone.
    ranges: list[_MinMax | _Histogram] = [_MinMax() if method == "minmax" else _Histogram(method) for _ in groups]

    def add_range(module: nn.Linear, activation: Tensor) -> None:
        i = place[id(module)]
        if module is groups[i][0]:  # the others read the same
            ranges[i].add((activation / smoothing[i]).index_fill(-1, outliers[i], 0).numpy())

    for window in windows:
        _visit_linears(model, window, add_range)
        progress()

    # All weights of a group have the same.
    stats = {}
    for i, group in enumerate(groups):
        least, most = ranges[i].range()
        for module in group:
            stats[id(module.weight)] = ActivationStats(smoothing[i].numpy(), least, most, outliers[i].numpy())
    return stats


def _visit_linears(
    model: BlockSkimForQuestionAnswering, window: Window, visit: Callable[[nn.Linear, Tensor], None]
) -> None:
    """Run the model over a window and call `visit` with each linear layer of its transformer and what it multiplies."""
    found = [m for layer in model.family.layers(model.backbone) for m in layer.modules() if isinstance(m, nn.Linear)]
    hooks = [m.register_forward_pre_hook(lambda module, inputs: visit(module, inputs[0])) for m in dict.fromkeys(found)]
    try:
        input_ids, attention_mask, token_type_ids, _ = (t[None, : window.length] for t in torch_inputs(window))
        model.backbone(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
    finally:
        for hook in hooks:
            hook.remove()


def _group_readers(model: BlockSkimForQuestionAnswering, window: Window) -> list[list[nn.Linear]]:
    """Return the linear layers in groups that read the same tensor: query, key and value are one."""
    groups: dict[int, tuple[Tensor, list[nn.Linear]]] = {}
    seen = set()

    def add(module: nn.Linear, activation: Tensor) -> None:
        if id(module) not in seen:  # the group holds the tensor, so that its id is not given to another
            seen.add(id(module))
            groups.setdefault(id(activation), (activation, []))[1].append(module)

    _visit_linears(model, window, add)
    return [group for _, group in groups.values()]


def _smooth(largest: Tensor, group: Sequence[nn.Linear]) -> Tensor:
    """Return what to divide each channel by, float32 [in]: equation 4 of SmoothQuant.

    Args:
        largest: float32 [in], the largest absolute value of each channel
        group: the layers that read the activation
    """
    weight = torch.stack([m.weight.abs().amax(0) for m in group]).amax(0)
    return (largest.clamp_min(1e-5) ** SMOOTHING / weight.clamp_min(1e-5) ** (1 - SMOOTHING)).clamp_min(1e-5)


def _choose_outliers(largest: Tensor, linear: nn.Linear) -> Tensor:
    """Return the channels to leave in fp32, int64 [OUTLIERS]; none where the input is not wider than the output."""
    count = OUTLIERS if linear.in_features > linear.out_features else 0
    return largest.argsort(descending=True)[:count]


class _MinMax:
    """The least and the greatest of all values, widened to hold 0."""

    def __init__(self) -> None:
        self.least = 0.0
        self.most = 0.0

    def add(self, values: np.ndarray) -> None:
        self.least = min(self.least, float(values.min()))
        self.most = max(self.most, float(values.max()))

    def range(self) -> tuple[float, float]:
        return self.least, self.most


class _Histogram:
    """ONNX Runtime's collector, for one tensor and without its remarks on standard output."""

    def __init__(self, method: str):
        self._collector = HistogramCollector(method, False, 2048, 128, PERCENTILE, None)

    def add(self, values: np.ndarray) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            self._collector.collect({"x": [values]})

    def range(self) -> tuple[float, float]:
        with contextlib.redirect_stdout(io.StringIO()):
            least, most = self._collector.compute_collection_result()["x"][:2]
        return float(least), float(most)
