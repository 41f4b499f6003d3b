"""Checkpoints as the paper's released code (transformers 4.8) writes them: its names and its files, spelt out here."""

import io
import json
from pathlib import Path

import pytest
import sentencepiece
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from bskim_export.checkpoint.loading import load_checkpoint, released_names, save_checkpoint
from bskim_export.data.question import sample

LAYERS = 3
WIDTH = 32
INNER = 64
HEADS = 4
NARROW = 16
WORDS = 1200
SKIM = {"block_size": 32, "augment_layers": [0, 2], "skim_threshold": 0.001, "output_attentions": True}
CONFIGS = {
    "bert": {
        "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": INNER,
        "hidden_act": "gelu", "position_embedding_type": "absolute", "type_vocab_size": 2, "use_cache": True,
        "gradient_checkpointing": False, "architectures": ["BertForQuestionAnswering"],
    },
    "distilbert": {
        "dim": WIDTH, "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": INNER, "sinusoidal_pos_embds": False,
        "activation": "gelu", "qa_dropout": 0.1, "tie_weights_": True,
        "architectures": ["DistilBertForQuestionAnswering"],
    },
    "albert": {
        "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": INNER,
        "embedding_size": NARROW, "num_hidden_groups": 1, "inner_group_num": 1, "hidden_act": "gelu_new",
        "type_vocab_size": 2, "net_structure_type": 0, "gap_size": 0, "down_scale_factor": 1,
        "architectures": ["AlbertForQuestionAnswering"],
    },
}  # fmt: skip
PREDICTORS = {
    "bert": "bert.encoder.layer.{}.attention.self.skim_predictor.",
    "distilbert": "distilbert.transformer.skim_predictors.{}.",
    "albert": "albert.encoder.skim_predictors.{}.",
}


def linear(name: str, inputs: int, outputs: int) -> dict[str, Tensor]:
    return {f"{name}.weight": torch.randn(outputs, inputs) * 0.2, f"{name}.bias": torch.randn(outputs) * 0.2}


def norm(name: str, width: int) -> dict[str, Tensor]:
    return {f"{name}.weight": torch.rand(width) + 0.5, f"{name}.bias": torch.randn(width) * 0.2}


def embeddings(name: str, width: int, *tables: tuple[str, int]) -> dict[str, Tensor]:
    return {f"{name}.{t}.weight": torch.randn(rows, width) for t, rows in tables} | norm(f"{name}.LayerNorm", width)


def predictor(prefix: str) -> dict[str, Tensor]:
    """BlockSkim's state: what it computes with, a convolution that it never calls, BatchNorm's counters."""
    state = {
        "conv1.weight": torch.randn(HEADS, HEADS, 3, 3), "conv1.bias": torch.randn(HEADS),
        "conv2.weight": torch.randn(HEADS, HEADS, 3, 3), "conv2.bias": torch.randn(HEADS),
        "conv3.weight": torch.randn(1, HEADS, 1, 1), "conv3.bias": torch.randn(1),
    } | linear("fc", HEADS * 64, 2)  # fmt: skip
    for bn in ("bn1", "bn2"):
        state |= norm(bn, HEADS)
        state |= {f"{bn}.running_mean": torch.randn(HEADS), f"{bn}.running_var": torch.rand(HEADS) + 0.5}
        state[f"{bn}.num_batches_tracked"] = torch.tensor(7)
    return {prefix + name: value for name, value in state.items()}


def bert() -> dict[str, Tensor]:
    tables = ("word_embeddings", WORDS), ("position_embeddings", 512), ("token_type_embeddings", 2)
    state = embeddings("bert.embeddings", WIDTH, *tables)
    for i in range(LAYERS):
        layer = f"bert.encoder.layer.{i}."
        for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            state |= linear(layer + part, WIDTH, WIDTH)
        state |= norm(layer + "attention.output.LayerNorm", WIDTH)
        state |= linear(layer + "intermediate.dense", WIDTH, INNER) | linear(layer + "output.dense", INNER, WIDTH)
        state |= norm(layer + "output.LayerNorm", WIDTH)
    return state | {"bert.embeddings.position_ids": torch.arange(512)[None]}


def distilbert() -> dict[str, Tensor]:
    tables = ("word_embeddings", WORDS), ("position_embeddings", 512)
    state = embeddings("distilbert.embeddings", WIDTH, *tables)
    for i in range(LAYERS):
        layer = f"distilbert.transformer.layer.{i}."
        for part in ("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"):
            state |= linear(layer + part, WIDTH, WIDTH)
        state |= linear(layer + "ffn.lin1", WIDTH, INNER) | linear(layer + "ffn.lin2", INNER, WIDTH)
        state |= norm(layer + "sa_layer_norm", WIDTH) | norm(layer + "output_layer_norm", WIDTH)
    return state


def albert() -> dict[str, Tensor]:
    tables = ("word_embeddings", WORDS), ("position_embeddings", 512), ("token_type_embeddings", 2)
    state = embeddings("albert.embeddings", NARROW, *tables)
    state |= linear("albert.encoder.embedding_hidden_mapping_in", NARROW, WIDTH)
    layer = "albert.encoder.albert_layer_groups.0.albert_layers.0."
    for part in ("attention.query", "attention.key", "attention.value", "attention.dense"):
        state |= linear(layer + part, WIDTH, WIDTH)
    state |= norm(layer + "attention.LayerNorm", WIDTH) | norm(layer + "full_layer_layer_norm", WIDTH)
    state |= linear(layer + "ffn", WIDTH, INNER) | linear(layer + "ffn_output", INNER, WIDTH)
    return state | {"albert.embeddings.position_ids": torch.arange(512)[None]}


def write_tokenizer(folder: Path, family: str, wordpiece: str, squad) -> None:
    """The files of a slow tokenizer: the released code uses no fast ones."""
    if family == "albert":
        spiece = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter({q.context for q in sample(squad, 100)}), model_writer=spiece, vocab_size=WORDS,
            pad_id=0, unk_id=1, bos_id=-1, eos_id=-1, pad_piece="<pad>", control_symbols=["[CLS]", "[SEP]"],
            user_defined_symbols=["[MASK]"], minloglevel=2,
        )  # fmt: skip
        (folder / "spiece.model").write_bytes(spiece.getvalue())
    else:
        vocabulary = Tokenizer.from_str(wordpiece).get_vocab()
        words = sorted(vocabulary, key=vocabulary.get)[:WORDS]
        (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    kind = {"albert": "AlbertTokenizer", "bert": "BertTokenizer", "distilbert": "DistilBertTokenizer"}[family]
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True, "tokenizer_class": kind}))


@pytest.fixture(scope="module", params=CONFIGS)
def released(request, tmp_path_factory, wordpiece, squad) -> tuple[str, Path, dict[str, Tensor]]:
    """A family, and a checkpoint directory of it with its state dict."""
    torch.manual_seed(0)
    family = request.param
    folder = tmp_path_factory.mktemp(family)
    state = {"albert": albert, "bert": bert, "distilbert": distilbert}[family]() | linear("qa_outputs", WIDTH, 2)
    for i in range(LAYERS):  # every layer has one, whatever `augment_layers` says
        state |= predictor(PREDICTORS[family].format(i))
    torch.save(state, folder / "pytorch_model.bin")
    size = {"vocab_size": WORDS, "max_position_embeddings": 512, "pad_token_id": 0}
    config = {"model_type": family, "transformers_version": "4.8.2", **CONFIGS[family], **SKIM, **size}
    (folder / "config.json").write_text(json.dumps(config))
    write_tokenizer(folder, family, wordpiece, squad)
    return family, folder, state


def test_every_value_is_in_its_place(released):
    family, folder, state = released
    model = load_checkpoint(folder).model
    assert (model.skim.layers, model.skim.thresholds, model.skim.block_size) == ((0, 2), (0.001, 0.001), 32)
    loaded = {k: v for k, v in released_names(model).items() if not k.endswith("num_batches_tracked")}
    for name, value in loaded.items():
        torch.testing.assert_close(value, state[name], rtol=0, atol=0, msg=name)
    unused = [k for k in state.keys() - loaded.keys() if not k.startswith(PREDICTORS[family].format(1))]
    assert all("conv3" in k or k.endswith(("position_ids", "num_batches_tracked")) for k in unused)


@torch.no_grad()
def test_each_predictor_reads_the_attention_of_its_layer(released):
    family, folder, state = released
    model = load_checkpoint(folder).model
    ids = torch.randint(5, WORDS, (2, 96), generator=torch.Generator().manual_seed(1))
    theirs = model.backbone(ids, output_attentions=True)
    ours = model(ids)
    torch.testing.assert_close(ours.start_logits, theirs.start_logits)
    for layer in (0, 2):
        own = {k.removeprefix(p): v for k, v in state.items() if k.startswith(p := PREDICTORS[family].format(layer))}
        for block in range(3):
            place = slice(32 * block, 32 * block + 32)
            logits = theirs.attentions[layer][:, :, place, place]
            for n in "12":  # convolution, BatchNorm, ReLU, pooling
                logits = F.conv2d(logits, own[f"conv{n}.weight"], own[f"conv{n}.bias"], padding=1)
                statistics = own[f"bn{n}.running_mean"], own[f"bn{n}.running_var"]
                logits = F.batch_norm(logits, *statistics, own[f"bn{n}.weight"], own[f"bn{n}.bias"])
                logits = F.avg_pool2d(F.relu(logits), 2)
            logits = F.linear(logits.flatten(1), own["fc.weight"], own["fc.bias"])
            torch.testing.assert_close(ours.skim_logits[layer][:, block], logits)


def test_the_slow_tokenizers_files_become_a_fast_one(released):
    family, folder, _ = released
    checkpoint = load_checkpoint(folder)
    special = Tokenizer.from_str(checkpoint.tokenizer).encode("Ada", "1 2")
    assert special.type_ids == [0] * special.sequence_ids.index(1) + [1] * (sum(special.type_ids))
    assert [special.tokens[0], special.tokens[-1]] == ["[CLS]", "[SEP]"]
    assert (checkpoint.describe().cls_token_id, checkpoint.describe().family) == (special.ids[0], family)


def test_a_checkpoint_stores_shared_weights_once(released, tmp_path):
    family, folder, _ = released
    checkpoint = load_checkpoint(folder, layers=[0])
    save_checkpoint(checkpoint.model, tmp_path / "model.pt", checkpoint.tokenizer)
    saved = torch.load(tmp_path / "model.pt", weights_only=True)["state_dict"]
    layers = {"albert": 1}.get(family, LAYERS)
    assert sum(value.shape == (INNER, WIDTH) for value in saved.values()) == layers
