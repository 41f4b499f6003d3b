"""Peers that run the model of transformers, or its weights: torch, torch.compile, CTranslate2."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from bskim_export.bench.peers.base import Logits, Peer, Tokens, Unavailable


def torch_peers(model: PreTrainedModel, threads: int) -> Iterator[Peer]:
    """Yield the model as transformers runs it: in fp32 and in bfloat16."""
    torch.set_num_threads(threads)
    yield Peer("torch fp32", _forward(model))
    yield Peer("torch bf16", _forward(deepcopy(model).bfloat16()))


def compiled_peers(model: PreTrainedModel, threads: int) -> Iterator[Peer]:
    """Yield the model compiled for any shape. Raises Unavailable without a compiler of C++."""
    torch.set_num_threads(threads)
    compiled = torch.compile(model, dynamic=True)
    try:
        for size in (2, 1):  # compiles; batches of one are another graph
            tokens = np.ones((size, 64), np.int64)
            _forward(compiled)({"input_ids": tokens, "attention_mask": tokens, "token_type_ids": tokens * 0})
    except Exception as error:  # of many kinds, from compilers of others
        raise Unavailable(f"torch cannot compile here: {str(error).strip().splitlines()[0][:200]}") from error
    yield Peer("torch-compile fp32", _forward(compiled))


def ctranslate2_peers(path: Path, out: Path, model: PreTrainedModel, threads: int) -> Iterator[Peer]:
    """Yield CTranslate2's encoder in each precision that it has here; the head is one product.

    Raises:
        ImportError: it is not installed.
        Unavailable: it does not know the architecture.
    """
    import ctranslate2
    from ctranslate2.converters import TransformersConverter

    try:
        TransformersConverter(str(path)).convert(str(out), force=True)
    except (ValueError, AttributeError) as error:
        raise Unavailable(f"CTranslate2 does not convert the model: {str(error)[:200]}") from error
    parameters = dict(model.named_parameters())
    weight, bias = (parameters[f"qa_outputs.{name}"].detach().numpy() for name in ("weight", "bias"))
    typed = getattr(model.config, "type_vocab_size", 0) > 1
    for precision, called in (("float32", "fp32"), ("int8_float32", "int8"), ("bfloat16", "bf16")):
        if precision not in ctranslate2.get_supported_compute_types("cpu"):
            continue
        encoder = ctranslate2.Encoder(str(out), device="cpu", compute_type=precision, intra_threads=threads)

        def forward(tokens: Tokens, encoder: "ctranslate2.Encoder" = encoder) -> Logits:
            # It takes rows of their own lengths, and removes padding by itself.
            lengths = tokens["attention_mask"].sum(1)
            rows = {
                name: [row[:n] for row, n in zip(tokens[name].tolist(), lengths, strict=True)]
                for name in ("input_ids", "token_type_ids")
            }
            types = {"token_type_ids": rows["token_type_ids"]} if typed else {}
            hidden = np.array(encoder.forward_batch(rows["input_ids"], **types).last_hidden_state)
            logits = hidden @ weight.T + bias
            return logits[..., 0], logits[..., 1]

        yield Peer(f"ctranslate2 {called}", forward)


def _forward(model: Callable[..., object]) -> Callable[[Tokens], Logits]:
    def forward(tokens: Tokens) -> Logits:
        with torch.inference_mode():
            found = model(**{name: torch.from_numpy(array) for name, array in tokens.items()})
        return found.start_logits.float().numpy(), found.end_logits.float().numpy()  # type: ignore[attr-defined]

    return forward
