"""Loads and saves models. Nothing in a checkpoint is ever executed: it is tensors and JSON only."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from bskim_export.atomic import write_atomic
from bskim_export.bundle.manifest import Model
from bskim_export.checkpoint.config import read_config
from bskim_export.checkpoint.description import describe
from bskim_export.checkpoint.files import first_line, is_there, read_object
from bskim_export.checkpoint.state_dict import (
    HEAD,
    RETRIEVAL,
    encoder_weights,
    require_fit,
    used_weights,
    without_prefix,
)
from bskim_export.checkpoint.tokenizer_files import pad_token_id, read_tokenizer, tokenizer_json
from bskim_export.checkpoint.weights import SAVE_HINT, read_weights, torch_load
from bskim_export.errors import CheckpointError, only_own_errors
from bskim_export.model.families import find_family
from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.model.retrieval import RetrievalPredictor, match
from bskim_export.model.skim_config import SkimConfig
from bskim_export.model.split import ask, prepare, read

FORMAT = "bskim-export checkpoint"
FORMAT_VERSION = 1


@dataclass
class Checkpoint:
    """A model that came in.

    model: in fp32, in evaluation mode
    tokenizer: the contents of its tokenizer.json
    source: the name that the user gave, without its folders
    """

    model: BlockSkimForQuestionAnswering
    tokenizer: str
    source: str

    def describe(self) -> Model:
        """Return its description for the runtime; see `description.describe`."""
        return describe(self.model, self.tokenizer, self.source)


@only_own_errors
def load_checkpoint(source: str | Path, layers: list[int] | None = None, fresh_head: bool = False) -> Checkpoint:
    """Load a model from a Hugging Face directory, a hub id, or a `model.pt` that `save_checkpoint` wrote.

    Predictors are looked for under the names of the paper's released code
    (`bert.encoder.layer.N.attention.self.skim_predictor.*`, `albert.encoder.skim_predictors.N.*`, ...).

    Args:
        layers: use only these layers' predictors; default: those that the config names (`augment_layers`), else all
            that the checkpoint has
        fresh_head: give a model without a question-answering head (a pre-trained encoder) a random one, to be trained

    Raises:
        CheckpointError: it cannot be loaded; the message says why, and what to do.

    Example:
        >>> load_checkpoint("examples/minilm-l6-squad").model.skim.layers
        (0, 1, 2, 3, 4, 5)
    """
    path = Path(source)
    if os.path.isdir(path):
        config, tokenizer, state = _read_directory(path)
    elif os.path.isfile(path):
        config, tokenizer, state = _read_file(path)
    else:
        config, tokenizer, state = _read_directory(_download(str(source)))
    if config.pad_token_id is None:
        config.pad_token_id = pad_token_id(tokenizer)
    if config.pad_token_id >= config.vocab_size:
        raise CheckpointError(
            f"pad_token_id is {config.pad_token_id}, but '{source}' has only {config.vocab_size} tokens (vocab_size)."
        )
    return Checkpoint(_build(config, state, layers, str(source), fresh_head), tokenizer, Path(source).name)


@only_own_errors
def save_checkpoint(
    model: BlockSkimForQuestionAnswering,
    path: str | Path,
    tokenizer: str | Tokenizer | PreTrainedTokenizerBase,
) -> None:
    """Write one file that `load_checkpoint` and `bskim-export` read. An existing file is replaced in one step.

    Args:
        tokenizer: a fast Hugging Face tokenizer, a tokenizers.Tokenizer, or the contents of a tokenizer.json
    """
    path = Path(path)
    model.skim.write_to(model.config)
    content = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "config": json.loads(model.config.to_json_string(use_diff=False)),
        "tokenizer": tokenizer_json(tokenizer),
        "state_dict": released_names(model),
    }
    write_atomic(path, lambda stream: torch.save(content, stream))


def released_names(model: BlockSkimForQuestionAnswering) -> dict[str, Tensor]:
    """Return the state dict under the names of the paper's released code."""
    state = dict(model.backbone.state_dict())
    for layer, predictor in model.predictors.items():
        prefix = model.family.predictor_prefix(int(layer))
        state.update({prefix + name: value for name, value in predictor.state_dict().items()})
    if model.retrieval is not None:
        state.update({RETRIEVAL + name: value for name, value in model.retrieval.state_dict().items()})
    return state


def _read_directory(path: Path) -> tuple[PretrainedConfig, str, dict[str, Tensor]]:
    # An adapter's folder may have a config.json and a tokenizer, but its weights are no model.
    if is_there(path / "adapter_config.json"):
        base = read_object(path / "adapter_config.json").get("base_model_name_or_path")
        raise CheckpointError(
            f"'{path}' holds an adapter (adapter_config.json) for {str(base)[:80]!r}, not a whole model. Merge it into "
            "its base: model.merge_and_unload(), then save_pretrained(...) into another folder."
        )
    if not is_there(path / "config.json"):
        raise CheckpointError(f"'{path}' has no config.json: it is not a Hugging Face model directory.")
    # The family is checked before anything else is looked at: it decides what the other files may be.
    config = read_config(read_object(path / "config.json"), f"'{path}/config.json'")
    return config, read_tokenizer(path), read_weights(path)


def _read_file(path: Path) -> tuple[PretrainedConfig, str, dict[str, Tensor]]:
    if path.suffix == ".safetensors":
        raise CheckpointError(
            f"'{path}' holds weights only. Pass its directory, with config.json and tokenizer.json beside it."
        )
    content = torch_load(path)
    if not isinstance(content, dict) or str(content.get("format")) != FORMAT:
        raise CheckpointError(f"'{path}' is not a bskim-export checkpoint (a bare state dict, perhaps?). {SAVE_HINT}")
    version = content.get("version")
    if type(version) is not int or version != FORMAT_VERSION:
        raise CheckpointError(
            f"'{path}' has checkpoint version {str(version)[:40]}; this release reads {FORMAT_VERSION}. {SAVE_HINT}"
        )
    for name, kind in (("config", dict), ("tokenizer", str), ("state_dict", dict)):
        if not isinstance(content.get(name), kind):
            raise CheckpointError(f"'{path}' lacks its {name}, or it is damaged. {SAVE_HINT}")
    for name in ("config", "state_dict"):
        if not all(isinstance(key, str) for key in content[name]):
            raise CheckpointError(f"'{path}' has names in its {name} that are no text. {SAVE_HINT}")
    if bad := [name for name, value in content["state_dict"].items() if not isinstance(value, Tensor)]:
        raise CheckpointError(f"'{bad[0][:80]}' in '{path}' is not a tensor. {SAVE_HINT}")
    config = read_config(content["config"], f"The config in '{path}'")
    return config, tokenizer_json(content["tokenizer"]), content["state_dict"]


def _download(source: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    if source.startswith((".", "/", "~")) or source.endswith((".pt", ".bin", ".safetensors")) or source.count("/") > 1:
        raise CheckpointError(f"'{source}' does not exist.")
    try:  # tensors and JSON only
        return Path(snapshot_download(source, allow_patterns=["*.json", "*.txt", "*.model", "*.safetensors"]))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = first_line(error)
        raise CheckpointError(
            f"'{source}' is neither a file nor a directory here, and the Hugging Face Hub did not give it ({reason})."
        ) from None


def _build(
    config: PretrainedConfig, state: dict[str, Tensor], layers: list[int] | None, source: str, fresh_head: bool
) -> BlockSkimForQuestionAnswering:
    """Return the model of a config and a state dict; arguments as for `load_checkpoint`."""
    family = find_family(config)
    base = family.predictor_prefix(0).split(".")[0]
    state = without_prefix(used_weights(state), base)
    if fresh_head:
        state = encoder_weights(state, base)
    # Choose the predictors among those that the checkpoint has.
    present = [
        i for i in range(config.num_hidden_layers) if any(k.startswith(family.predictor_prefix(i)) for k in state)
    ]
    wanted = layers if layers is not None else (getattr(config, "augment_layers", None) or present)
    if absent := sorted(set(wanted) - set(present)):
        raise CheckpointError(f"'{source}' has no predictor for layers {absent}; it has predictors for {present}.")
    # A model without memory tells the names and shapes: nothing is allocated for a config that its weights do not fit.
    skim = SkimConfig.from_hf(config, wanted)
    with torch.device("meta"):
        expected = released_names(_make(config, skim, source))
    fresh = {k for k in expected if k.startswith(HEAD)} - state.keys() if fresh_head else set()
    require_fit({k: v for k, v in expected.items() if k not in fresh}, state, source, base)
    # Every name is there now, but for those that nothing uses (BatchNorm's counters, buffers of positions), and a fresh
    # head, which keeps its random weights.
    model = _make(config, skim, source)
    model.backbone.load_state_dict({k: state[k] for k in model.backbone.state_dict() if k in state}, strict=False)
    for layer, predictor in model.predictors.items():
        prefix = family.predictor_prefix(int(layer))
        predictor.load_state_dict(
            {k: state[prefix + k] for k in predictor.state_dict() if prefix + k in state}, strict=False
        )
    if model.retrieval is not None:
        model.retrieval.load_state_dict({k: state[RETRIEVAL + k] for k in model.retrieval.state_dict()})
    model = model.float().eval()
    _try_out(model, source)
    return model


def _make(config: PretrainedConfig, skim: SkimConfig, source: str) -> BlockSkimForQuestionAnswering:
    try:
        return BlockSkimForQuestionAnswering(config, skim)
    except CheckpointError:
        raise
    except Exception as error:  # whatever transformers comes to with a config that makes no sense
        raise CheckpointError(f"The config of '{source}' describes no model: {first_line(error)}") from None


@torch.no_grad()
def _try_out(model: BlockSkimForQuestionAnswering, source: str) -> None:
    """Run the model over one block, so that a config or weights that it cannot run with are named at once."""
    ids = torch.arange(model.skim.block_size)[None] % model.config.vocab_size
    try:
        theirs = model.backbone(input_ids=ids, attention_mask=torch.ones_like(ids))
        results = [*_outputs(model, ids), theirs.start_logits, theirs.end_logits]
    except Exception as error:
        raise CheckpointError(
            f"The model of '{source}' cannot be run: {first_line(error)}. Does its config.json belong to its weights?"
        ) from None
    if not all(bool(torch.isfinite(one).all()) for one in results):
        raise CheckpointError(
            f"The model of '{source}' gives logits that are not numbers (NaN or infinite), though its weights are: "
            "they are too large to compute with. Save an earlier checkpoint."
        )


def _outputs(model: BlockSkimForQuestionAnswering, ids: Tensor) -> list[Tensor]:
    """Return what a model makes of one block; a split one reads it as a question, and as the passage that it asks."""
    if not isinstance(model.retrieval, RetrievalPredictor):
        out = model(ids)
        return [out.start_logits, out.end_logits, *out.skim_logits.values()]
    real = torch.ones_like(ids).bool()
    section = torch.cat([ids[:, :1], ids], 1)
    states, sought = prepare(model, section, torch.ones_like(section))
    asked, wanted = ask(model, ids, real.long())
    score = match(model.retrieval.queries(wanted, real), model.retrieval.features(sought, real))
    both, question = torch.cat([asked, states], 1), torch.cat([real, ~real], 1)
    out, _ = read(model, both, torch.ones_like(question), question)
    return [score, out.start_logits, out.end_logits, *out.skim_logits.values()]
