"""Backbone families: one file for each kind of Hugging Face encoder, with all that is its own."""

from transformers import PretrainedConfig

from bskim_export.errors import CheckpointError
from bskim_export.model.families.albert import AlbertFamily
from bskim_export.model.families.base import Family
from bskim_export.model.families.bert import BertFamily
from bskim_export.model.families.distilbert import DistilBertFamily

_FAMILIES: dict[str, type[Family]] = {
    "albert": AlbertFamily,
    "bert": BertFamily,
    "distilbert": DistilBertFamily,
    "electra": BertFamily,
    "roberta": BertFamily,
}


def find_family(config: PretrainedConfig) -> Family:
    """Return the family of a model.

    Raises:
        CheckpointError: the model type is not supported.
    """
    if config.model_type not in _FAMILIES:
        raise CheckpointError(
            f"Models of type '{config.model_type}' are not supported; supported types: {', '.join(sorted(_FAMILIES))}."
        )
    return _FAMILIES[config.model_type](config)
