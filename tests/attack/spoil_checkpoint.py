"""Tiny checkpoints, and the ways in which attack/checkpoints.py spoils them."""

import copy
import io
import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import torch
from mutate import ODD_VALUES, as_bytes, mutate_bytes, paths
from safetensors.torch import load_file, save_file
from tokenizers import ByteLevelBPETokenizer, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AlbertConfig, AlbertTokenizer, BertConfig, DistilBertConfig, RobertaConfig

from bskim_export.checkpoint.loading import load_checkpoint, released_names, save_checkpoint
from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.model.skim_config import SkimConfig

CANARY = "canary"
"""A file beside the bases, which a stranger's code would make."""

SHAPE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
TEXTS = [
    "The book was written by Ada Lovelace in 1843, it is said; the letter came from Ghent to Turin.",
    "Who wrote it? When did the ship leave? The harbour had seven cranes and a lighthouse, and it's gone.",
] * 20
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 267826725\n"
FIELDS = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size", "pad_token_id",
    "max_position_embeddings", "type_vocab_size", "block_size", "max_seq_length", "augment_layers", "skim_threshold",
    "skim_predictor", "pruned_heads", "model_type", "hidden_act", "layer_norm_eps", "hidden_dropout_prob",
    "position_embedding_type", "is_decoder", "add_cross_attention", "architectures", "dtype", "torch_dtype",
    "quantization_config", "attn_implementation", "_attn_implementation", "id2label", "num_labels", "return_dict",
    "output_attentions", "output_hidden_states", "torchscript", "chunk_size_feed_forward", "tokenizer_class",
    "name_or_path", "base_model_tp_plan", "use_cache", "embedding_size", "num_hidden_groups", "inner_group_num",
    "classifier_dropout", "initializer_range", "tie_word_embeddings", "is_encoder_decoder", "transformers_version",
    "eos_token_id", "bos_token_id", "problem_type", "rope_parameters", "sinusoidal_pos_embds", "attention_dropout",
)  # fmt: skip
SETTINGS = (
    "do_lower_case", "strip_accents", "tokenize_chinese_chars", "add_prefix_space", "trim_offsets", "keep_accents",
    "tokenizer_class", "cls_token", "sep_token", "pad_token", "unk_token", "mask_token", "added_tokens_decoder",
    "additional_special_tokens", "extra_special_tokens", "model_max_length", "vocab_file", "tokenizer_file",
    "merges_file",
    "init_inputs", "fast_tokenizer_files", "chat_template", "backend", "vocab", "merges", "split_special_tokens",
    "add_bos_token", "add_eos_token", "clean_up_tokenization_spaces", "name_or_path", "never_split", "remove_space",
)  # fmt: skip
VALUES = (
    *ODD_VALUES, 10**9, 16, 24, 3, "bert", "roberta", "relative_key", "float16", "int8", "evil/kernel", [0], [1], [0,
    1],
    {"0": [0], "1": [1]}, {"0": 0.5}, "BertTokenizer", "RagTokenizer", "AutoTokenizer", "AutoProcessor",
    "LlamaTokenizer",
    "PreTrainedTokenizerFast", "[UNK]", {"content": "[X]", "lstrip": False}, {"60000": {"content": "[X]",
    "special": True}},
    {"quant_method": "gptq", "bits": 4}, float("nan"), float("inf"), "relu", 1e-12, "../canary", "tokenizer.json",
)  # fmt: skip
DTYPES = (
    torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.uint8, torch.int64, torch.bool, torch.complex64,
    torch.float8_e4m3fn,
)  # fmt: skip
SLOW = ("vocab.txt", "vocab.json", "merges.txt")


class Evil:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any):
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def make_bases(folder: Path) -> None:
    """Write the tiny models, each as a directory and as a file."""
    tokenizers = {"bert": _wordpiece(), "distilbert": _wordpiece(), "roberta": _byte_level(), "albert": _unigram()}
    kinds = {"bert": BertConfig, "distilbert": DistilBertConfig, "roberta": RobertaConfig, "albert": AlbertConfig}
    for family, tokenizer in tokenizers.items():
        torch.manual_seed(0)
        extra = {"albert": {"embedding_size": 8}, "distilbert": {"hidden_dim": 24}}.get(family, {})
        if family == "roberta":
            extra = {"type_vocab_size": 1}
        config = kinds[family](**SHAPE, vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=130, **extra)
        model = BlockSkimForQuestionAnswering(config, SkimConfig.from_hf(config, (1,))).eval()
        path = folder / family
        model.skim.write_to(model.config)
        model.config.save_pretrained(path)
        save_file(released_names(model), path / "model.safetensors", metadata={"format": "pt"})
        tokenizer.save(str(path / "tokenizer.json"))
        (path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 130}))
        save_checkpoint(model, folder / f"{family}.pt", tokenizer)
        load_checkpoint(path).describe()


def spoil(bases: Path, folder: Path, random: Random) -> tuple[Path, list[str], bool]:
    """Copy a base into an empty folder and spoil it.

    Returns:
        what to load, in words what was done, and whether it has code in it that transformers must not see
    """
    family = random.choice(("bert", "bert", "distilbert", "roberta", "albert"))
    if random.random() < 0.15:
        path = Path(shutil.copy(bases / f"{family}.pt", folder / "model.pt"))
        return path, [_spoil_file(path, random, bases.parent / CANARY)], False
    path = Path(shutil.copytree(bases / family, folder / "model"))
    if random.random() < 0.3:
        (path / "tokenizer_config.json").unlink()
    done = []
    if random.random() < 0.25:
        done.append(_use_slow_files(path))
    kinds = random.choices(
        (_config, _weights, _tokenizer, _settings, _bytes, _index, _special, _code, _pickled),
        (30, 20, 10, 15, 8, 5, 5, 6, 6),
        k=random.choice((1, 1, 2, 3)),
    )
    kinds = list(dict.fromkeys(kinds))
    for kind in sorted(kinds, key=lambda kind: kind is _special):  # nobody else is to read what that puts there
        try:
            done.append(kind(path, random, bases.parent / CANARY))
        except Exception:  # an earlier change left nothing to spoil
            done.append(f"{kind.__name__} was not possible")
    return path, done, _code in kinds


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _change(document: Any, random: Random) -> str:
    """Change a value anywhere inside a parsed JSON document, in place."""
    *parents, key = random.choice(list(paths(document)))
    inner = document
    for parent in parents:
        inner = inner[parent]
    if random.random() < 0.2:
        del inner[key]
        return f"without {key!r}"
    inner[key] = copy.deepcopy(random.choice(VALUES))
    return f"{key!r} = {inner[key]!r:.40}"


def _config(path: Path, random: Random, canary: Path) -> str:
    values = _read(path / "config.json")
    field = random.choice(FIELDS)
    values[field] = copy.deepcopy(random.choice(VALUES))
    (path / "config.json").write_bytes(as_bytes(values))
    return f"config.json: {field} = {values[field]!r:.40}"


def _weights(path: Path, random: Random, canary: Path) -> str:
    """Change names, dtypes, shapes or values, and perhaps the kind of file."""
    file = path / "model.safetensors"
    state = load_file(file)
    name = random.choice(list(state))
    kind = random.choice(
        ("prefix", "wrap", "drop", "rename", "extra", "dtype", "dtypes", "shape", "value", "bin", "large")
    )
    if kind == "prefix":
        prefix = random.choice(("module.", "_orig_mod.", "model.", "_orig_mod.module.", "net.student.", ""))
        state = {prefix + k: v for k, v in state.items()}
        if random.random() < 0.3:
            state["loss.weight"] = torch.ones(2)
        name = prefix
    elif kind == "drop":
        del state[name]
    elif kind == "rename":
        state[random.choice((f"{name}x", f"x.{name}", name.upper(), name.replace("bert", "tert")))] = state.pop(name)
    elif kind == "extra":
        extra = random.choice(
            ("has_answer.weight", "cls.bias", f"{name}_scale", f"{name}.lora_A", "bert.pooler.dense.bias")
        )
        state[extra] = torch.ones(3)
        name = extra
    elif kind == "dtype":
        state[name] = state[name].to(random.choice(DTYPES))
    elif kind == "dtypes":
        dtype = random.choice(DTYPES)
        state = {k: v.to(dtype) for k, v in state.items()}
        name = str(dtype)
    elif kind == "shape":
        state[name] = random.choice(
            (state[name][..., :1].contiguous(), state[name][None], torch.zeros(0), state[name].flatten())
        )
    elif kind == "value":
        value = random.choice((float("nan"), float("inf"), -float("inf"), 1e30, 3e38))
        state[name] = state[name].float().clone()
        state[name].view(-1)[random.randrange(state[name].numel())] = value
        name += f" {value}"
    elif kind == "large":
        state = {k: v * random.choice((1e4, 1e12, 1e30)) for k, v in state.items()}
    if kind in ("wrap", "bin") or random.random() < 0.2:
        file.unlink()
        content: Any = state
        if kind == "wrap":
            key = random.choice(("model_state_dict", "state_dict", "model", "weights", "params"))
            content = {"epoch": 3, key: state}
            if random.random() < 0.2:
                content["ema"] = copy.copy(state)
        torch.save(content, path / "pytorch_model.bin", _use_new_zipfile_serialization=random.random() < 0.7)
    else:
        save_file(state, file, metadata={"format": "pt"})
    return f"weights: {kind} {name}"


def _tokenizer(path: Path, random: Random, canary: Path) -> str:
    values = _read(path / "tokenizer.json")
    kind = random.choice(("any", "id", "part", "shift", "cut"))
    what = kind
    vocabulary = values["model"]["vocab"]
    if kind == "any":
        what = _change(values, random)
    elif kind == "part":
        part = random.choice(("normalizer", "pre_tokenizer", "post_processor", "decoder", "added_tokens", "model"))
        values[part] = random.choice(
            (None, [], {}, {"type": "Sequence"}, {"type": "Lowercase"}, {"type": "Whitespace"})
        )
        what = f"{part} = {values[part]}"
    elif isinstance(vocabulary, dict):
        token = random.choice(list(vocabulary))
        if kind == "id":
            vocabulary[token] = random.choice((len(vocabulary), 10**6, 2**31, 0, vocabulary[token] + 1))
        elif kind == "shift":
            values["model"]["vocab"] = {k: v + 1 for k, v in vocabulary.items()}
        else:
            keep = random.choice((0, 5, len(vocabulary) // 3, len(vocabulary) - 1))
            values["model"]["vocab"] = dict(list(vocabulary.items())[:keep])
        what = f"{kind} {token}"
    else:
        values["model"]["vocab"] = vocabulary[: random.choice((0, 5, len(vocabulary) // 3))]
    (path / "tokenizer.json").write_bytes(as_bytes(values))
    return f"tokenizer.json: {what}"


def _settings(path: Path, random: Random, canary: Path) -> str:
    name = random.choice(
        ("tokenizer_config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
    )
    file = path / name
    values = _read(file) if file.exists() else {}
    field = random.choice(SETTINGS if name != "added_tokens.json" else ("[NEW]", "the", "x"))
    values[field] = copy.deepcopy(random.choice(VALUES))
    file.write_bytes(as_bytes(values))
    return f"{name}: {field} = {values[field]!r:.40}"


def _bytes(path: Path, random: Random, canary: Path) -> str:
    file = random.choice(sorted(p for p in path.iterdir() if p.is_file() and p.stat().st_size))
    content, what = mutate_bytes(file.read_bytes(), random)
    file.write_bytes(content)
    return f"{file.name}: {what}"


def _index(path: Path, random: Random, canary: Path) -> str:
    bin_files = random.random() < 0.5
    suffix = ".bin" if bin_files else ".safetensors"
    state = load_file(path / "model.safetensors")
    names = list(state)
    half = {f"part-{i}{suffix}": names[i::2] for i in range(2)}
    for file, own in half.items():
        part = {k: state[k] for k in own}
        torch.save(part, path / file) if bin_files else save_file(part, path / file, metadata={"format": "pt"})
    where: Any = {k: file for file, own in half.items() for k in own}
    if random.random() < 0.7:
        odd = (
            "../x.bin",
            "/etc/passwd",
            "a\0b",
            ".",
            5,
            None,
            ["x"],
            "/dev/zero",
            f"../../bases/bert.pt{suffix}",
            suffix,
        )
        where = random.choice(({**where, names[0]: random.choice(odd)}, [], None, {}, dict(list(where.items())[:3])))
    (path / "model.safetensors").unlink()
    index = "pytorch_model.bin.index.json" if bin_files else "model.safetensors.index.json"
    (path / index).write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return f"{index}: {where!r:.60}"


def _special(path: Path, random: Random, canary: Path) -> str:
    """Put something else in a file's place."""
    names = (
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
        "adapter_config.json",
    )
    file = path / random.choice(names)
    file.unlink(missing_ok=True)
    kind = random.choice(("fifo", "folder", "zero", "loop", "passwd", "pointer", "huge", "gone"))
    if kind == "fifo":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    elif kind == "pointer":
        file.write_text(POINTER)
    elif kind == "huge":
        with open(file, "wb") as stream:
            stream.truncate(20 * 2**30)  # takes no room
    elif kind != "gone":
        file.symlink_to({"zero": "/dev/zero", "loop": file.name, "passwd": "/etc/passwd"}[kind])
    return f"{file.name}: {kind}"


def _code(path: Path, random: Random, canary: Path) -> str:
    """Put code beside the model, and name it somewhere."""
    (path / "evil.py").write_text(f"open({str(canary)!r}, 'w')\nclass Evil: pass\n")
    everything = {f"Auto{kind}": "evil.Evil" for kind in ("Config", "Model", "ModelForQuestionAnswering", "Processor")}
    auto_map = random.choice(
        (everything, {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}, ["evil.Evil", "evil.Evil"], "evil.Evil")
    )
    name = random.choice(("config.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json"))
    values = _read(path / name) if (path / name).exists() else {}
    values |= {"auto_map": auto_map, "trust_remote_code": True}
    if random.random() < 0.5:
        values |= random.choice(
            ({"model_type": "evil"}, {"tokenizer_class": "Evil"}, {"tokenizer_class": "AutoProcessor"})
        )
    (path / name).write_bytes(as_bytes(values))
    if random.random() < 0.3:
        other = {"tokenizer_class": random.choice(("RagTokenizer", "AutoTokenizer", "AutoProcessor", "evil.Evil"))}
        (path / "tokenizer_config.json").write_text(json.dumps(other))
    return f"{name}: code, {auto_map!r:.40}"


def _pickled(path: Path, random: Random, canary: Path) -> str:
    (path / "model.safetensors").unlink()
    content, what = _evil_pickle(random, canary)
    (path / "pytorch_model.bin").write_bytes(content)
    return f"pytorch_model.bin: {what}"


def _evil_pickle(random: Random, canary: Path) -> tuple[bytes, str]:
    tricks = (
        (os.system, f"touch {canary}"), (eval, f"open({str(canary)!r}, 'w')"), (exec, f"open({str(canary)!r}, 'w')"),
        (open, str(canary), "w"), (getattr, "x", "join"), (torch.load, str(canary)), (os.mkdir, str(canary)),
    )  # fmt: skip
    function, *arguments = random.choice(tricks)
    payload: Any = {"bert.x": Evil(function, *arguments)}
    form = random.choice(("zip", "legacy", "raw", "deflated"))
    stream = io.BytesIO()
    if form == "raw":
        return pickle.dumps(payload, protocol=2), f"raw {function.__name__}"
    if form == "deflated":
        payload = {"bert.x": torch.zeros(20_000_000)}
    torch.save(payload, stream, _use_new_zipfile_serialization=form != "legacy")
    if form == "deflated":
        packed = io.BytesIO()
        with zipfile.ZipFile(stream) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
            for info in source.infolist():
                target.writestr(info.filename, source.read(info.filename))
        stream = packed
    return stream.getvalue(), f"{form} {function.__name__}"


def _spoil_file(path: Path, random: Random, canary: Path) -> str:
    """Spoil a model.pt."""
    kind = random.choice(("bytes", "pickle", "config", "state", "field", "tokenizer"))
    if kind == "bytes":
        content, what = mutate_bytes(path.read_bytes(), random)
        path.write_bytes(content)
        return f"model.pt: {what}"
    if kind == "pickle":
        content, what = _evil_pickle(random, canary)
        path.write_bytes(content)
        return f"model.pt: {what}"
    content = torch.load(path, weights_only=True)
    what = kind
    if kind == "config":
        field = random.choice(FIELDS)
        content["config"][field] = copy.deepcopy(random.choice(VALUES))
        what = f"config {field} = {content['config'][field]!r:.40}"
    elif kind == "field":
        field = random.choice((*content, "other"))
        content[field] = random.choice((*VALUES, torch.ones(2), content))
        what = f"{field} = {content[field]!r:.40}"
    elif kind == "tokenizer":
        values = json.loads(content["tokenizer"])
        what = _change(values, random)
        content["tokenizer"] = json.dumps(values)
    else:
        state = content["state_dict"]
        name = random.choice(list(state))
        value = state[name].float()
        odd: tuple[Any, ...] = (
            "x", None, [1.0], value.to_sparse(), value.to("meta"), value.double(), value.half(), value.to(torch.int8),
            value * float("nan"), torch.zeros(()).expand(value.shape), torch.zeros(1).as_strided((10**6, 10**6), (0,
            0)),
            torch.quantize_per_tensor(value, 0.1, 0, torch.qint8), value.to(torch.complex64), torch.nn.Parameter(value),
        )  # fmt: skip
        state[random.choice((name, 5, "x"))] = random.choice(odd)
        what = f"state_dict {name}"
    torch.save(content, path)
    return f"model.pt: {what}"


def _use_slow_files(path: Path) -> str:
    model = _read(path / "tokenizer.json")["model"]
    if model["type"] == "WordPiece":
        (path / "vocab.txt").write_text("\n".join(sorted(model["vocab"], key=model["vocab"].get)), encoding="utf-8")
    elif model["type"] == "BPE":
        (path / "vocab.json").write_text(json.dumps(model["vocab"]), encoding="utf-8")
        merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
        (path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges), encoding="utf-8")
    else:
        return "a fast tokenizer only"
    (path / "tokenizer.json").unlink()
    return "slow tokenizer files"


def _wordpiece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    ids = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", ids)
    return tokenizer


def _byte_level() -> Tokenizer:
    trained = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trained.train_from_iterator(TEXTS, vocab_size=350, special_tokens=special, show_progress=False)
    tokenizer = Tokenizer.from_str(trained.to_str())
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return tokenizer


def _unigram() -> Tokenizer:
    trained = AlbertTokenizer().train_new_from_iterator(TEXTS, 120, show_progress=False)
    return Tokenizer.from_str(trained.backend_tokenizer.to_str())
