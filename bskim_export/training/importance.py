"""The importance of attention heads: a model can do without the least important ones."""

from collections.abc import Iterable

import torch
from torch import Tensor

from bskim_export.errors import InputError
from bskim_export.model.attention import WindowAttention
from bskim_export.model.outputs import SkimOutput
from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.training.objective import qa_loss


def head_importance(model: BlockSkimForQuestionAnswering, batches: Iterable[dict[str, Tensor]]) -> Tensor:
    """Return how much the question-answering loss depends on each head: float [layers, heads].

    The expected absolute gradient of the loss with respect to a factor on the head's output (Michel, Levy and Neubig
    2019, equation 2). Layers that share their weights share their sum.

    Args:
        batches: as Collator makes them

    Raises:
        CheckpointError: the model is split.
    """
    model.skim.require_whole()
    model.eval()
    family = model.family
    layers = family.layers(model.backbone)
    total = torch.zeros(len(layers), model.layer_shape(0).num_heads)
    for batch in batches:
        # Run the model and keep what the heads of each layer give: the attention contexts, [B, S, heads * head_size].
        hidden = family.embedder(model.backbone)(batch["input_ids"], batch["token_type_ids"], None)
        contexts = []
        for layer in layers:
            context = family.context(layer, hidden, WindowAttention(batch["attention_mask"].bool(), 0.0, False))
            contexts.append(context)
            hidden = family.rest(layer, context, hidden)
        start, end = family.head(model.backbone)(hidden).unbind(-1)
        out = SkimOutput(start, end, {})
        loss = qa_loss(out, batch["attention_mask"], batch["start_positions"], batch["end_positions"])

        # By the chain rule, the gradient of a factor on a head is the sum of its output times the output's gradient.
        # The loss is a mean over windows; times B, each window has the gradient of its own loss.
        gradients = torch.autograd.grad(loss * len(hidden), contexts)
        for i, (context, gradient) in enumerate(zip(contexts, gradients, strict=True)):
            slope = (context * gradient).detach().unflatten(-1, (total.shape[1], -1)).sum((1, 3))  # [B, heads]
            total[i] += slope.abs().sum(0)

    # Heads of shared weights are pruned in all their layers at once.
    for layer in set(layers):
        own = [i for i, one in enumerate(layers) if one is layer]
        total[own] = total[own].sum(0)
    return total


def least_important(importance: Tensor, share: float) -> dict[int, list[int]]:
    """Return the heads to prune, per layer: the least important `share` of each layer's, rounded down.

    Raises:
        InputError: no head would be pruned, or none would be left.

    Example:
        >>> least_important(torch.tensor([[3.0, 1.0, 2.0, 4.0]]), 0.5)
        {0: [1, 2]}
    """
    heads = importance.shape[1]
    count = int(share * heads)
    if not 0 < count < heads:
        raise InputError(f"Pruning {share:.0%} of {heads} heads a layer would remove {count} of them.")
    return {i: sorted(row.argsort()[:count].tolist()) for i, row in enumerate(importance)}
