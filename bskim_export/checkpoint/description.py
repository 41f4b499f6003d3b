"""Describes a model to the runtime: its shapes, its special tokens and positions."""

from tokenizers import Tokenizer

from bskim_export.bundle.manifest import Model
from bskim_export.checkpoint.tokenizer_fit import require_tokenizer
from bskim_export.model.qa import BlockSkimForQuestionAnswering


def describe(model: BlockSkimForQuestionAnswering, tokenizer_json: str, source: str) -> Model:
    """Return a model's description: everything that the runtime must know of it.

    Args:
        tokenizer_json: the contents of its tokenizer.json
        source: the name of the model, for people to read

    Raises:
        CheckpointError: the tokenizer does not fit the model; see `require_tokenizer`.
    """
    config = model.config
    pair = require_tokenizer(Tokenizer.from_str(tokenizer_json), config)
    shape = model.layer_shape(0)
    offset = model.family.position_offset
    predictor = model.predictor(model.skim.layers[0]) if model.skim.layers else None
    return Model(
        family=config.model_type,
        source=source,
        num_layers=config.num_hidden_layers,
        hidden_size=config.hidden_size,
        intermediate_size=model.family.intermediate_size,
        num_heads=shape.num_heads,
        head_size=shape.head_size,
        embedding_size=getattr(config, "embedding_size", config.hidden_size),
        type_vocab_size=getattr(config, "type_vocab_size", 0),
        block_size=model.skim.block_size,
        max_seq_len=model.skim.max_seq_len,
        pad_token_id=config.pad_token_id,
        cls_token_id=pair.ids[0],
        predictor=model.skim.predictor,
        predictor_macs=0 if predictor is None else predictor.macs,
        predictor_question_macs=0 if predictor is None else predictor.question_macs,
        position_offset=offset,
        pad_position=offset - 1 if offset else None,
    )
