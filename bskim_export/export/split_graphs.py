"""The modules of a split model's lower layers that become graphs: passages apart, questions apart."""

import torch
from torch import Tensor, nn

from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.model.retrieval import RetrievalPredictor
from bskim_export.model.split import split_layer


class SequenceAttention:
    """Attends within each sequence.

    Args:
        mask: [B, S], added to scores: 0 for a token, -10000 for padding
    """

    def __init__(self, mask: Tensor):
        self._mask = mask[:, None, None, :]

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Return the attention context: [B, S, heads, d] each -> [B, S, heads * d]."""
        query, key, value = (t.transpose(1, 2) for t in (query, key, value))
        scores = torch.matmul(query * scaling, key.transpose(2, 3))
        weights = torch.softmax(scores.float() + self._mask, dim=-1).to(value.dtype)
        return torch.matmul(weights, value).transpose(1, 2).flatten(2)


class LowerModule(nn.Module):
    """The base of both. Holds the embeddings, the lower layers and the retrieval predictor."""

    def __init__(self, model: BlockSkimForQuestionAnswering):
        super().__init__()
        self.family = model.family
        self.embedder = model.family.embedder(model.backbone)
        self.layers = nn.ModuleList(model.family.layers(model.backbone)[: split_layer(model)])
        assert isinstance(model.retrieval, RetrievalPredictor)
        self.retrieval = model.retrieval
        self.size = model.skim.block_size
        self.has_types = getattr(model.config, "type_vocab_size", 0) > 1

    def lower(self, ids: Tensor, types: Tensor, mask: Tensor, begin: int) -> tuple[Tensor, Tensor]:
        """Return hidden states behind the lower layers, and behind the retrieval predictor's own, [B, S, H] each.

        Args:
            ids, types: int64 [B, S]
            mask: see SequenceAttention
            begin: the position of the first token, as the model's embeddings count
        """
        positions = (torch.arange(ids.shape[1], device=ids.device) + begin).expand_as(ids)
        hidden = self.embedder(ids, types if self.has_types else torch.zeros_like(ids), positions)
        attention = SequenceAttention(mask)
        states = hidden
        for layer in (*self.layers, self.retrieval.layer):
            states = hidden
            hidden = self.family.rest(layer, self.family.context(layer, hidden, attention), hidden)
        return states, hidden


class PrepareModule(LowerModule):
    """Sections of passages to states and features; see `bundle.split_graph.prepare_specs`."""

    def __init__(self, model: BlockSkimForQuestionAnswering, cls_token_id: int):
        super().__init__(model)
        self.cls_token_id = cls_token_id
        self.begin = model.family.position_offset + model.skim.block_size - 1

    def forward(self, section_ids: Tensor, section_mask: Tensor) -> tuple[Tensor, Tensor]:
        first = torch.full_like(section_ids[:, :1], self.cls_token_id)
        ids = torch.cat([first, section_ids], 1)
        types = torch.cat([torch.zeros_like(first), torch.ones_like(section_ids)], 1)
        mask = torch.cat([torch.zeros_like(section_mask[:, :1]), section_mask], 1)
        states, sought = self.lower(ids, types, mask, self.begin)
        real = (section_mask == 0).unflatten(1, (-1, self.size))
        features = self.retrieval.features(sought[:, 1:].float().unflatten(1, (-1, self.size)), real)
        return states[:, 1:], features.flatten(2)


class QuestionModule(LowerModule):
    """Questions to states and queries; see `bundle.split_graph.question_specs`."""

    def __init__(self, model: BlockSkimForQuestionAnswering):
        super().__init__(model)
        self.begin = model.family.position_offset

    def forward(self, question_ids: Tensor, question_mask: Tensor) -> tuple[Tensor, Tensor]:
        states, wanted = self.lower(question_ids, torch.zeros_like(question_ids), question_mask, self.begin)
        return states, self.retrieval.queries(wanted.float(), question_mask == 0)
