"""The modules that become graphs: each a run of transformer work between two skim points, on packed blocks.

A layer is cut right behind its attention context. The rest of it (output projection, residual, LayerNorm, FFN) mixes no
tokens. So dropping there gives the numbers of the paper's order, which drops after the whole layer, and spends nothing
on dropped blocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from bskim_export.bundle.tensors import LOGITS, STAGE_OUTPUTS
from bskim_export.model.attention import GridAttention
from bskim_export.model.predictors import PREDICTORS
from bskim_export.model.qa import BlockSkimForQuestionAnswering


@dataclass(frozen=True)
class Cut:
    """One stage's share of the model.

    layers: the layers whose attention it computes
    enters: it begins with the embeddings, or of a split model with the states that lower layers left; not with the rest
        of the layer before
    leaves: it ends with the logits, not with an attention context
    """

    layers: tuple[int, ...]
    enters: bool
    leaves: bool


def plan_cuts(num_layers: int, skim_layers: Sequence[int], first: int = 0) -> list[Cut]:
    """Return the stages of a model, cut behind the attention context of every skim layer.

    Args:
        first: the layer that they begin with

    Example:
        >>> [c.layers for c in plan_cuts(4, [0, 2])]
        [(0,), (1, 2), (3,)]
        >>> plan_cuts(2, [])
        [Cut(layers=(0, 1), enters=True, leaves=True)]
    """
    bounds = [first, *(i + 1 for i in skim_layers), num_layers]
    spans = [tuple(range(a, b)) for a, b in pairwise(bounds)]
    return [Cut(s, i == 0, i == len(spans) - 1) for i, s in enumerate(spans)]


class StageModule(nn.Module):
    """The base of all stages. Holds only the parts of the backbone that its cut needs.

    Inputs and outputs are those of `bundle.tensors`: forward's arguments are the names there, `outputs` those of its
    results. Inputs that a graph does not use are left out of it when it is exported.
    """

    def __init__(self, model: BlockSkimForQuestionAnswering, cut: Cut):
        super().__init__()
        self.family = model.family
        self.cut = cut
        self.size = model.skim.block_size
        self.with_diagonal = "diagonal" in PREDICTORS[model.skim.predictor].reads
        layers = self.family.layers(model.backbone)
        self.before = None if cut.enters else layers[cut.layers[0] - 1 if cut.layers else -1]
        self.layers = nn.ModuleList(layers[i] for i in cut.layers)
        embeds = cut.enters and model.skim.split_layer is None
        self.embedder = self.family.embedder(model.backbone) if embeds else None
        self.head = self.family.head(model.backbone) if cut.leaves else None
        boundary = STAGE_OUTPUTS if self.with_diagonal else STAGE_OUTPUTS[:2]
        self.outputs = LOGITS if cut.leaves else boundary

    def run(self, hidden: Tensor, table: Tensor, back: Tensor, mask: Tensor, probe: Tensor) -> tuple[Tensor, ...]:
        """Return the stage's outputs.

        Args:
            hidden: [N, k, H], the hidden states that enter its first layer
            table, back, mask, probe: see `bundle.tensors`
        """
        attention = GridAttention(table, mask, self.size)
        # Whole layers: all of them in the last stage, all but one in the others.
        whole = self.layers if self.cut.leaves else self.layers[:-1]
        for layer in whole:
            context = self.family.context(layer, hidden, attention)
            hidden = self.family.rest(layer, context.index_select(0, back), hidden)
        if self.head is not None:
            start, end = self.head(hidden).unbind(-1)
            return start, end
        # The cut goes through the last layer: the next stage computes the rest of it on the blocks that are kept.
        context = self.family.context(self.layers[-1], hidden, attention)
        return (context, hidden, attention.diagonal(probe)) if self.with_diagonal else (context, hidden)


class FirstStage(StageModule):
    """Begins with the embeddings. With all layers and the head it is the dense model."""

    def forward(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor,
        position_ids: Tensor,
        table: Tensor,
        back: Tensor,
        mask: Tensor,
        probe: Tensor,
    ) -> tuple[Tensor, ...]:
        assert self.embedder is not None, "its cut begins with the embeddings"
        hidden = self.embedder(input_ids, token_type_ids, position_ids)
        return self.run(hidden, table, back, mask, probe)


class ReadingStage(StageModule):
    """Begins with the states that the lower layers of a split model left."""

    def forward(self, states: Tensor, table: Tensor, back: Tensor, mask: Tensor, probe: Tensor) -> tuple[Tensor, ...]:
        return self.run(states, table, back, mask, probe)


class LaterStage(StageModule):
    """Begins with the kept blocks of the stage before: compaction is the Gather at its head."""

    def forward(
        self,
        last_context: Tensor,
        last_residual: Tensor,
        keep_cells: Tensor,
        keep: Tensor,
        table: Tensor,
        back: Tensor,
        mask: Tensor,
        probe: Tensor,
    ) -> tuple[Tensor, ...]:
        assert self.before is not None, "its cut begins with the rest of a layer"
        context = last_context.index_select(0, keep_cells)
        residual = last_residual.index_select(0, keep)
        hidden = self.family.rest(self.before, context, residual)
        return self.run(hidden, table, back, mask, probe)


def make_stages(model: BlockSkimForQuestionAnswering) -> list[StageModule]:
    """Return the stages of a model, first to last; of a split one, those of its upper layers."""
    cuts = plan_cuts(model.config.num_hidden_layers, model.skim.layers, model.skim.split_layer or 0)
    return [(_first_kind(model) if c.enters else LaterStage)(model, c).eval() for c in cuts]


def make_dense(model: BlockSkimForQuestionAnswering) -> StageModule:
    """Return the whole model as one stage without predictors; of a split one, its upper layers."""
    layers = tuple(range(model.skim.split_layer or 0, model.config.num_hidden_layers))
    return _first_kind(model)(model, Cut(layers, True, True)).eval()


def _first_kind(model: BlockSkimForQuestionAnswering) -> type[StageModule]:
    return FirstStage if model.skim.split_layer is None else ReadingStage
