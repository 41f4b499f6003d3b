"""A model in half precision, with islands of fp32 where half precision loses answers.

The islands are softmax (in `model.attention.GridAttention`), LayerNorm, the QA head and the predictors. Converters that
rewrite a finished graph put them elsewhere, and have made invalid graphs of such models. Here the modules say where
they are, and the exporter writes it down.
"""

import copy

import torch
from torch import Tensor, nn

from bskim_export.model.qa import BlockSkimForQuestionAnswering

HALF = {"fp16": torch.float16, "bf16": torch.bfloat16}
PRECISIONS = ("fp32", *HALF, "int8")
"""The choices of `bskim-export --precision`. INT8 is a matter of graphs, see `int8.quantizer`."""


class Island(nn.Module):
    """Computes a module in fp32.

    Args:
        module: is converted
        back: give the result the precision of the input
    """

    def __init__(self, module: nn.Module, back: bool):
        super().__init__()
        self.module = module.float()
        self.back = back

    def forward(self, hidden: Tensor) -> Tensor:
        result = self.module(hidden.float())
        return result.to(hidden.dtype) if self.back else result


def in_precision(model: BlockSkimForQuestionAnswering, precision: str) -> BlockSkimForQuestionAnswering:
    """Return a model whose stages compute in this precision: a copy for "fp16" and "bf16", else the model itself."""
    if precision not in HALF:
        return model
    model = copy.deepcopy(model)
    backbone = model.backbone.to(HALF[precision])
    head = set(model.family.head(backbone).modules())  # DistilBERT's is put together anew at every call
    for parent in list(backbone.modules()):
        for name, child in list(parent.named_children()):
            # The next layer takes what a LayerNorm gives; the head's logits stay fp32.
            if isinstance(child, nn.LayerNorm):
                setattr(parent, name, Island(child, back=True))
            elif isinstance(child, nn.Linear) and child in head:
                setattr(parent, name, Island(child, back=False))
    return model
