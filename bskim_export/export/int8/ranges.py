"""What the activations of a model look like on real windows, so that they can be quantised."""

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
    """What the input of a weight looks like.

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
    """Return what the inputs of a model's weights look like, to quantise them, by the id of the weight.

    A few channels of a transformer's activations are many times larger than the others and would cost those their
    resolution; they are evened out first (SmoothQuant, https://arxiv.org/abs/2211.10438). Weights that read the same
    tensor share its smoothing. A weight that several layers share (ALBERT) has one entry for all of them.

    What an FFN's activation function gives, the one input wider than the output, has channels so large that evening
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
    groups = _readers(model, windows[0])
    place = {id(module): i for i, group in enumerate(groups) for module in group}
    largest = [torch.zeros(group[0].in_features) for group in groups]

    def see_size(module: nn.Linear, read: Tensor) -> None:
        i = place[id(module)]
        largest[i] = torch.maximum(largest[i], read.abs().flatten(0, -2).amax(0))

    for window in windows:
        _watch(model, [window], see_size)
        progress()
    smoothing = [_smooth(size, group) for size, group in zip(largest, groups, strict=True)]
    outliers = [
        size.argsort(descending=True)[: OUTLIERS if group[0].in_features > group[0].out_features else 0]
        for size, group in zip(largest, groups, strict=True)
    ]
    ranges = [_MinMax() if method == "minmax" else _Histogram(method) for _ in groups]

    def see_range(module: nn.Linear, read: Tensor) -> None:
        i = place[id(module)]
        if module is groups[i][0]:  # the others read the same
            ranges[i].add((read / smoothing[i]).index_fill(-1, outliers[i], 0).numpy())

    for window in windows:
        _watch(model, [window], see_range)
        progress()
    return {
        id(module.weight): ActivationStats(smoothing[i].numpy(), *ranges[i].range(), outliers[i].numpy())
        for i, group in enumerate(groups)
        for module in group
    }


def _watch(
    model: BlockSkimForQuestionAnswering, windows: Sequence[Window], see: Callable[[nn.Linear, Tensor], None]
) -> None:
    """Run the model over windows and show `see` what each linear layer of its transformer reads."""
    found = [m for layer in model.family.layers(model.backbone) for m in layer.modules() if isinstance(m, nn.Linear)]
    hooks = [m.register_forward_pre_hook(lambda module, read: see(module, read[0])) for m in dict.fromkeys(found)]
    try:
        for window in windows:
            input_ids, attention_mask, token_type_ids, _ = (t[None, : window.length] for t in torch_inputs(window))
            model.backbone(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
    finally:
        for hook in hooks:
            hook.remove()


def _readers(model: BlockSkimForQuestionAnswering, window: Window) -> list[list[nn.Linear]]:
    """Return the linear layers in groups that read the same tensor: query, key and value are one."""
    groups: dict[int, tuple[Tensor, list[nn.Linear]]] = {}
    seen = set()

    def see(module: nn.Linear, read: Tensor) -> None:
        if id(module) not in seen:  # the group holds the tensor, so that its id is not given to another
            seen.add(id(module))
            groups.setdefault(id(read), (read, []))[1].append(module)

    _watch(model, [window], see)
    return [group for _, group in groups.values()]


def _smooth(largest: Tensor, group: Sequence[nn.Linear]) -> Tensor:
    weight = torch.stack([m.weight.abs().amax(0) for m in group]).amax(0)
    return (largest.clamp_min(1e-5) ** SMOOTHING / weight.clamp_min(1e-5) ** (1 - SMOOTHING)).clamp_min(1e-5)


class _MinMax:
    def __init__(self):
        self.least = self.most = 0.0

    def add(self, values: np.ndarray) -> None:
        self.least, self.most = min(self.least, float(values.min())), max(self.most, float(values.max()))

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
