"""A split model: its lower layers read question and passage apart, so that a passage is read once for all questions.

Q. Cao, H. Trivedi, A. Balasubramanian, N. Balasubramanian: DeFormer: Decomposing Pre-trained Transformers for Faster
Question Answering. ACL 2020.

`[CLS] question [SEP]` stands in blocks of its own. A passage is read in sections of whole blocks, each behind one
`[CLS]` of its own (runtime/prepared/cut.py). That is for the lower layers only: heads that look for nothing look there.
A passage's positions begin behind one block, however long the question is, and its token type is 1.
"""

import torch
from torch import Tensor, nn

from bskim_export.errors import CheckpointError
from bskim_export.model.attention import WindowAttention
from bskim_export.model.outputs import SkimOutput
from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.model.retrieval import RetrievalPredictor


def split_layer(model: BlockSkimForQuestionAnswering) -> int:
    """Return the first layer in which question and passage see each other.

    Raises:
        CheckpointError: the model is not split.
    """
    if model.skim.split_layer is None:
        raise CheckpointError("The model is not split. Make one of it: bskim-train --split LAYER")
    return model.skim.split_layer


def prepare(model: BlockSkimForQuestionAnswering, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the states of passage sections behind the lower layers, and behind the retrieval predictor's own layer,
    [B, S, H] each.

    Args:
        input_ids, attention_mask: int64 [B, 1 + S], `[CLS]` and then the section's tokens
    """
    begin = model.skim.block_size - 1  # so that the first token has the position behind one block
    types = torch.ones_like(input_ids)
    types[:, 0] = 0
    states, retrieval = _lower(model, input_ids, attention_mask, types, begin)
    return states[:, 1:], retrieval[:, 1:]


def ask(model: BlockSkimForQuestionAnswering, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the states of questions behind the lower layers, and behind the retrieval predictor's own, [B, T, H] each.

    Args:
        input_ids, attention_mask: int64 [B, T], `[CLS] question [SEP]`, padded to whole blocks
    """
    return _lower(model, input_ids, attention_mask, torch.zeros_like(input_ids), 0)


def _lower(
    model: BlockSkimForQuestionAnswering, ids: Tensor, mask: Tensor, types: Tensor, begin: int
) -> tuple[Tensor, Tensor]:
    layers = model.family.layers(model.backbone)[: split_layer(model)]
    assert isinstance(model.retrieval, RetrievalPredictor)
    types = _types(model, types)
    positions = torch.arange(ids.shape[1], device=ids.device) + begin + model.family.position_offset
    hidden = model.family.embedder(model.backbone)(ids, types, positions.expand_as(ids))
    real = mask.bool()
    dropout = model.family.attention_dropout if model.backbone.training else 0.0
    states = hidden
    for layer in (*layers, model.retrieval.layer):
        states = hidden
        context = model.family.context(layer, hidden, WindowAttention(real, dropout, with_map=False))
        hidden = model.family.rest(layer, context, hidden)
    return states, hidden


def _types(model: BlockSkimForQuestionAnswering, types: Tensor) -> Tensor:
    """Return token types that the model has: RoBERTa and DistilBERT know one only."""
    return types if getattr(model.config, "type_vocab_size", 0) > 1 else torch.zeros_like(types)


def read(
    model: BlockSkimForQuestionAnswering, hidden: Tensor, real: Tensor, question: Tensor
) -> tuple[SkimOutput, list[Tensor]]:
    """Run the upper layers over questions with the blocks that were chosen for them, nothing dropped.

    Args:
        hidden: [B, S, H]: the question's blocks, then the chosen ones; S a multiple of the block size
        real, question: bool [B, S], tokens, and tokens of the question

    Returns:
        the outputs, and the output of each upper layer, [B, S, H]
    """
    skim_logits: dict[int, Tensor] = {}
    states = []
    for i, layer in upper_layers(model):
        hidden, view = model.run_layer(i, layer, hidden, real, question)
        states.append(hidden)
        if i in model.skim.layers:
            skim_logits[i] = model.predictor(i)(view)
    start, end = model.family.head(model.backbone)(hidden).unbind(-1)
    return SkimOutput(start, end, skim_logits), states


def upper_layers(model: BlockSkimForQuestionAnswering) -> list[tuple[int, nn.Module]]:
    """Return the layers in which question and passage see each other, with their numbers."""
    return list(enumerate(model.family.layers(model.backbone)))[split_layer(model) :]


def hidden_states(
    model: BlockSkimForQuestionAnswering, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor, split: int
) -> Tensor:
    """Run a model that is not split, as a teacher of one that is.

    Args:
        input_ids, attention_mask, token_type_ids: int64 [B, S]
        split: the layer at which the other model is split

    Returns:
        [B, S, (L - split) * H + 2]: the outputs of the layers from there on, and the start and end logits

    Raises:
        CheckpointError: the model is split.
    """
    model.skim.require_whole()
    token_type_ids = _types(model, token_type_ids)
    hidden = model.family.embedder(model.backbone)(input_ids, token_type_ids, None)
    real = attention_mask.bool()
    found = []
    for i, layer in enumerate(model.family.layers(model.backbone)):
        context = model.family.context(layer, hidden, WindowAttention(real, 0.0, with_map=False))
        hidden = model.family.rest(layer, context, hidden)
        if i >= split:
            found.append(hidden)
    return torch.cat([*found, model.family.head(model.backbone)(hidden)], -1)
