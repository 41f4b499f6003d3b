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
    require_supported(config.model_type)
    return _FAMILIES[config.model_type](config)


def require_supported(model_type: object) -> None:
    """Do nothing if models of this type are supported; `model_type` may be whatever a stranger's config.json holds.

    Raises:
        CheckpointError: they are not.

    Example:
        >>> require_supported("t5")
        Traceback (most recent call last):
        bskim_export.errors.CheckpointError: Models of type 't5' are not supported; supported types: albert, bert, ...
    """
    if not isinstance(model_type, str) or model_type not in _FAMILIES:
        raise CheckpointError(
            f"Models of type {str(model_type)[:80]!r} are not supported; supported types: "
            f"{', '.join(sorted(_FAMILIES))}."
        )
