"""Writes what libbskim's fuzzers begin with: python scripts/fuzz_seeds.py DIR BUNDLE

DIR gets a folder for each fuzzer, and dictionaries. Small tokenizers of every family are trained on SQuAD's passages.
The manifest is that of BUNDLE.
"""

import io
import json
import sys
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from bskim_export.data.question import sample
from bskim_export.data.squad import load_squad

QUESTIONS = sample(load_squad(), 60, seed=1)
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = 120
"""Tokens of each tokenizer: mutations shall hit its parts, and not a long vocabulary."""


def trained(model: object, trainer: object, *parts: object) -> Tokenizer:
    """Return a tokenizer: a normalizer or None, a pre-tokenizer and a post-processor around a model."""
    tokenizer = Tokenizer(model)
    normalizer, tokenizer.pre_tokenizer, post = parts
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.train_from_iterator([q.context for q in QUESTIONS], trainer)
    tokenizer.post_processor = post
    return tokenizer


def charsmap(folder: Path) -> bytes:
    """Return a small map of characters, as SentencePiece compiles it."""
    model = io.BytesIO()
    rules = folder / "rules.tsv"
    rules.write_text("FB01\t66 69\nA0\t20\n41 30A\tC5\nAD\t\n", encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(q.context for q in QUESTIONS),
        model_writer=model,
        vocab_size=WORDS,
        hard_vocab_limit=False,
        normalization_rule_tsv=str(rules),
        minloglevel=2,
    )
    rules.unlink()
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model.getvalue())
    return proto.normalizer_spec.precompiled_charsmap


def tokenizers(folder: Path) -> dict[str, Tokenizer]:
    """Return a small tokenizer of each kind."""
    pair = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    several = normalizers.Sequence(
        [
            normalizers.NFKD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
            normalizers.Replace("``", '"'),
            normalizers.Strip(),
            normalizers.NFC(),
        ]
    )
    compiled = normalizers.Sequence([normalizers.Precompiled(charsmap(folder)), normalizers.Prepend("▁")])
    words = {"vocab_size": WORDS, "special_tokens": SPECIAL, "show_progress": False}
    wordpiece, unknown = trainers.WordPieceTrainer(**words), {"unk_token": "[UNK]"}
    bpe = trainers.BpeTrainer(**words, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()[:40])
    unigram = trainers.UnigramTrainer(**words, unk_token="[UNK]")
    spaces = pre_tokenizers.Metaspace(prepend_scheme="always")
    split = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.WhitespaceSplit()])
    return {
        "wordpiece": trained(
            models.WordPiece(**unknown),
            wordpiece,
            normalizers.BertNormalizer(),
            pre_tokenizers.BertPreTokenizer(),
            processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2)),
        ),
        "words": trained(models.WordPiece(**unknown), wordpiece, several, split, pair),
        "byte_level": trained(
            models.BPE(),
            bpe,
            None,
            pre_tokenizers.ByteLevel(add_prefix_space=True),
            processors.RobertaProcessing(("[SEP]", 3), ("[CLS]", 2)),
        ),
        "bpe": trained(models.BPE(**unknown, fuse_unk=True), bpe, normalizers.NFKC(), spaces, pair),
        "unigram": trained(models.Unigram(), unigram, compiled, spaces, pair),
    }


def write_dictionary(path: Path, texts: list[str]) -> None:
    """Write the names and texts of some JSON objects, as libFuzzer reads dictionaries."""
    found: set[str] = set()

    def collect(value: object) -> None:
        if isinstance(value, dict):
            for name, one in value.items():
                if name not in ("vocab", "files"):
                    found.add(name)
                    collect(one)
        elif isinstance(value, list):
            for one in value:
                collect(one)
        elif isinstance(value, str):
            found.add(value)

    for text in texts:
        collect(json.loads(text))
    usual = sorted(one for one in found if 0 < len(one) < 40 and one.isascii())
    lines = [json.dumps(json.dumps(one)) for one in usual]
    path.write_text("\n".join([*lines, *('"' + one + '"' for one in ("null", "true", "-1", "1e400"))]) + "\n")


def main(folder: Path, bundle: Path) -> None:
    """Write all seeds."""
    for name in ("tokenizer_json", "manifest", "text"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    texts = {name: json.dumps(json.loads(one.to_str()), ensure_ascii=False) for name, one in tokenizers(folder).items()}
    for name, text in texts.items():
        (folder / "tokenizer_json" / name).write_text(text, encoding="utf-8")
    write_dictionary(folder / "tokenizer_json.dict", list(texts.values()))

    manifest = (bundle / "manifest.json").read_text(encoding="utf-8")
    (folder / "manifest" / "bundle").write_text(json.dumps(json.loads(manifest)), encoding="utf-8")
    write_dictionary(folder / "manifest.dict", [manifest])

    for number, one in enumerate(QUESTIONS[:20]):
        text = f"\x30\x08{one.question}\n{one.context}"
        (folder / "text" / str(number)).write_bytes(text.encode()[:1500])
    odd = "é é ﬁ 中文 \u200d \u00ad \u0e01\u0e33 👩\u200d🚀 \ufffd [SEP] İ Σ"
    (folder / "text" / "odd").write_bytes(b"\x20\x04Who?\n" + odd.encode() + b" \xed\xa0\x80")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
