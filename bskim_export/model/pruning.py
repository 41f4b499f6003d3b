"""Models with fewer attention heads. transformers 5 cannot prune heads, so this does; its forward still runs them."""

from collections.abc import Iterable, Mapping

import torch
from torch import nn

from bskim_export.errors import CheckpointError
from bskim_export.model.families.base import Family


def prune_heads(model: nn.Module, family: Family, pruned: Mapping[int, Iterable[int]]) -> None:
    """Remove attention heads from a Hugging Face model, in place.

    Args:
        model: the question-answering model
        family: its family
        pruned: per layer, the heads to remove; layers that share weights must name the same ones

    Raises:
        CheckpointError: there is no such layer or head, layers that share weights differ, or the layers would not be
            left with one and the same number of heads, at least 1. (A bundle has one number of heads.)
    """
    layers = family.layers(model)
    wanted: dict[int, tuple[nn.Module, list[int]]] = {}
    # Check everything first, so that a model that is refused stays as it is.
    for i, layer in enumerate(layers):
        heads = sorted(set(pruned.get(i, ())))
        count = family.shape(layer).num_heads
        if bad := [h for h in heads if not 0 <= h < count]:
            raise CheckpointError(f"pruned_heads: layer {i} has heads 0 to {count - 1}; there is no head {bad}.")
        if wanted.setdefault(id(layer), (layer, heads))[1] != heads:
            raise CheckpointError(f"pruned_heads: layer {i} shares its weights, but not its pruned heads.")
    if bad := [i for i in pruned if not 0 <= i < len(layers)]:
        raise CheckpointError(f"pruned_heads: the model has layers 0 to {len(layers) - 1}; there is no layer {bad}.")
    left = {family.shape(layer).num_heads - len(heads) for layer, heads in wanted.values()}
    if len(left) > 1 or min(left) < 1:
        raise CheckpointError(
            f"pruned_heads leaves {sorted(left)} heads in the layers: every layer must keep as many, at least 1."
        )
    for layer, heads in wanted.values():
        # The features that stay: those of the remaining heads, in order.
        shape = family.shape(layer)
        keep = [h for h in range(shape.num_heads) if h not in heads]
        places = torch.cat([torch.arange(h * shape.head_size, (h + 1) * shape.head_size) for h in keep])
        # Query, key and value lose outputs, and the output projection loses inputs.
        *inputs, output = family.projections(layer)
        for projection in inputs:
            _keep(projection, places, 0)
        _keep(output, places, 1)
        family.set_num_heads(layer, len(keep))


def _keep(linear: nn.Linear, places: torch.Tensor, dim: int) -> None:
    """Keep only some outputs (dim 0) or inputs (dim 1) of a linear layer, in place.

    Args:
        places: int64, the features to keep
    """
    linear.weight = nn.Parameter(linear.weight.detach().index_select(dim, places).clone())
    if dim == 0:
        linear.bias = nn.Parameter(linear.bias.detach()[places].clone())
    linear.out_features, linear.in_features = linear.weight.shape
