"""libbskim's tokenizer gives what the `tokenizers` library gives, and refuses by name what it does not have."""

import io
import itertools
import json
import subprocess
from collections.abc import Callable, Iterator
from functools import cache

import pytest
import sentencepiece
from compare_tokens import compare, difference, generated
from sentencepiece.sentencepiece_model_pb2 import ModelProto
from strings import strings
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from bskim_export.data.question import sample
from bskim_export.runtime.tokens import splits_at_spaces

BERT_PROCESSING = {"type": "BertProcessing", "sep": ["[SEP]", 102], "cls": ["[CLS]", 101]}


@cache
def sentencepiece_model(rule: str = "nmt_nfkc") -> ModelProto:
    """Return a small model: its charsmap is the one that ALBERT's and XLM-R's have."""
    model = io.BytesIO()
    lines = ("a test of it, the one and only" * 3, "0123456789 The quick brown fox jumps over the lazy dog")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines * 5),
        model_writer=model,
        vocab_size=60,
        normalization_rule_name=rule,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return ModelProto.FromString(model.getvalue())


def charsmap(rule: str = "nmt_nfkc") -> normalizers.Precompiled:
    return normalizers.Precompiled(sentencepiece_model(rule).normalizer_spec.precompiled_charsmap)


def changed(text: str, place: str, value: object) -> dict:
    """Return a tokenizer.json with another value at a place: names with points between them."""
    whole = part = json.loads(text)
    *path, last = place.split(".")
    for name in path:
        part = part[name]
    part[last] = value
    return whole


def with_bert_normalizer(text: str, **options: object) -> str:
    tokenizer = Tokenizer.from_str(text)
    tokenizer.normalizer = normalizers.BertNormalizer(**options)
    return tokenizer.to_str()


def with_added_tokens(text: str) -> str:
    """Return a tokenizer with a token of every kind, some of them parts of words or spaces."""
    tokenizer = Tokenizer.from_str(text)
    contents = ["the", "of", "Apollo", "THE", "é", "中", "'s", "19", "##", "U.S.A.", "Σ", " a ", "ﬁ", "[x]", "I", "<x>"]
    flags = itertools.product((False, True), repeat=4)
    for content, (lstrip, rstrip, word, normalized) in zip(contents, flags, strict=True):
        token = AddedToken(content, lstrip=lstrip, rstrip=rstrip, single_word=word, normalized=normalized)
        tokenizer.add_tokens([token])
    return tokenizer.to_str()


def as_roberta(text: str, *, prefix: bool, trim: bool) -> str:
    tokenizer = Tokenizer.from_str(text)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix, trim_offsets=trim)
    ends = ("</s>", 2), ("<s>", 0)
    tokenizer.post_processor = processors.RobertaProcessing(*ends, trim_offsets=trim, add_prefix_space=prefix)
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    return tokenizer.to_str()


def as_released_albert(text: str, *, lowercase: bool, scheme: str = "always") -> str:
    """Return what transformers makes of the files of a released ALBERT."""
    tokenizer = Tokenizer.from_str(text)
    quotes = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    plain = [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()] if lowercase else []
    spaces = normalizers.Replace(Regex(" {2,}"), " ")
    tokenizer.normalizer = normalizers.Sequence([*quotes, *plain, charsmap(), spaces])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    return tokenizer.to_str()


def of_bytes(normalizer: normalizers.Normalizer, pre_tokenizer: pre_tokenizers.PreTokenizer) -> str:
    """Return a tokenizer whose tokens are the bytes of a normalised text, which shows all that was done to it."""
    vocabulary = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.normalizer = normalizer
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizer, to_bytes])
    return tokenizer.to_str()


KINDS: dict[str, Callable[[dict[str, str]], str]] = {
    "wordpiece": lambda t: t["bert"],
    "bpe": lambda t: t["roberta"],
    "unigram": lambda t: t["albert"],
    "albert": lambda t: as_released_albert(t["albert"], lowercase=True),
}
"""What makes a tokenizer of each kind, of those that the tests share."""

VARIANTS: dict[str, Callable[[dict[str, str]], str]] = {
    "cased": lambda t: with_bert_normalizer(t["bert"], lowercase=False),
    "cased without accents": lambda t: with_bert_normalizer(t["bert"], lowercase=False, strip_accents=True),
    "uncased with accents": lambda t: with_bert_normalizer(t["bert"], strip_accents=False),
    "not cleaned": lambda t: with_bert_normalizer(t["bert"], clean_text=False, handle_chinese_chars=False),
    "wordpiece with added tokens": lambda t: with_added_tokens(t["bert"]),
    "short words": lambda t: json.dumps(changed(t["bert"], "model.max_input_chars_per_word", 7)),
    "BERT's own processor": lambda t: json.dumps(changed(t["bert"], "post_processor", BERT_PROCESSING)),
    "bpe with a prefix, trimmed": lambda t: as_roberta(t["roberta"], prefix=True, trim=True),
    "bpe, trimmed": lambda t: as_roberta(t["roberta"], prefix=False, trim=True),
    "bpe with a prefix": lambda t: as_roberta(t["roberta"], prefix=True, trim=False),
    "bpe with added tokens": lambda t: with_added_tokens(as_roberta(t["roberta"], prefix=True, trim=True)),
    "cased albert": lambda t: as_released_albert(t["albert"], lowercase=False, scheme="first"),
    "albert with added tokens": lambda t: with_added_tokens(as_released_albert(t["albert"], lowercase=True)),
    "NFC": lambda t: of_bytes(normalizers.NFC(), pre_tokenizers.Whitespace()),
    "NFD": lambda t: of_bytes(normalizers.NFD(), pre_tokenizers.BertPreTokenizer()),
    "NFKC": lambda t: of_bytes(normalizers.NFKC(), pre_tokenizers.WhitespaceSplit()),
    "NFKD": lambda t: of_bytes(normalizers.NFKD(), pre_tokenizers.BertPreTokenizer()),
    "case folding": lambda t: of_bytes(charsmap("nmt_nfkc_cf"), pre_tokenizers.Metaspace()),
}

REFUSED = {
    "normalizer": ({"type": "Nmt"}, "normalizer: this library does not know the kind 'Nmt'"),
    "pre_tokenizer": ({"type": "Digits", "individual_digits": True}, "the kind 'Digits'"),
    "post_processor": ({"type": "Unheard"}, "post_processor: this library does not know the kind 'Unheard'"),
    "model.type": ("WordLevel", "model: this library does not know the kind 'WordLevel'"),
    "normalizer.new": (True, "normalizer: this library does not know the setting 'new'"),
    "version": ("2.0", "the version '2.0'"),
    "model.vocab": ([], "model.vocab: it must be an object"),
    "model.unk_token": (None, "model: 'unk_token' is missing"),
    "model.max_input_chars_per_word": (-1, "it must be an integer from 0"),
    "added_tokens": ({}, "added_tokens: it must be a list"),
    "post_processor.pair": ([{"Sequence": {"id": "A", "type_id": 0}}], "does not use each text once"),
}
"""What a change makes of BERT's tokenizer: where, the value, part of the error."""


@pytest.fixture(scope="session")
def hostile() -> list[str]:
    return strings(2000, tokens=["Apollo", "U.S.A.", "<mask>", "[x]", "<x>"])


@pytest.fixture
def run(cpp_tool, tmp_path) -> Callable[..., subprocess.CompletedProcess]:
    """Return a function: the text or the bytes of a tokenizer.json, options -> what the tool did with it."""
    path = tmp_path / "tokenizer.json"

    def call(file: str | bytes, *options: str) -> subprocess.CompletedProcess:
        path.write_bytes(file if isinstance(file, bytes) else file.encode())
        asked = [str(cpp_tool("bskim-tokens")), *options, str(path)]
        return subprocess.run(asked, input='{"text": "a test"}\n', capture_output=True, text=True, timeout=60)

    return call


def real(squad, count: int) -> Iterator[dict[str, str]]:
    return ({"question": q.question, "context": q.context} for q in sample(squad, count))


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_of_each_kind_are_those_of_the_library(cpp_tool, tmp_path, tokenizers, squad, hostile, kind):
    path = tmp_path / "tokenizer.json"
    path.write_text(KINDS[kind](tokenizers), encoding="utf-8")
    found = compare(cpp_tool("bskim-tokens"), path, itertools.chain(real(squad, 300), generated(hostile)))
    assert found.tokens > 100_000
    assert found.differences == []


@pytest.mark.parametrize("kind", VARIANTS)
def test_tokens_of_variants_are_those_of_the_library(cpp_tool, tmp_path, tokenizers, squad, hostile, kind):
    path = tmp_path / "tokenizer.json"
    path.write_text(VARIANTS[kind](tokenizers), encoding="utf-8")
    found = compare(cpp_tool("bskim-tokens"), path, itertools.chain(real(squad, 20), generated(hostile[::8])))
    assert found.tokens > 5_000
    assert found.differences == []


def test_a_difference_is_found():
    same = {"ids": [1, 2], "offsets": [[0, 1], [1, 2]]}
    assert difference({"text": "ab"}, same, same) is None
    assert "offsets[1]" in difference({"text": "ab"}, same, {**same, "offsets": [[0, 1], [1, 3]]})
    assert "ids[2]" in difference({"text": "ab"}, same, {**same, "ids": [1, 2, 3]})
    assert difference({"text": "ab"}, same, {"error": "no"})


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "albert", "cased", "short words", "bpe with a prefix"])
def test_what_is_known_of_a_tokenizer_is_what_python_knows(run, tokenizers, kind):
    text = (KINDS | VARIANTS)[kind](tokenizers)
    own = Tokenizer.from_str(text)
    about = json.loads(run(text, "--about").stdout)
    assert about == {
        "special_tokens": own.num_special_tokens_to_add(True),
        "splits_at_spaces": splits_at_spaces(own),
    }


@pytest.mark.parametrize("place", REFUSED)
def test_what_is_not_known_is_refused_by_name(run, tokenizers, place):
    value, said = REFUSED[place]
    done = run(json.dumps(changed(tokenizers["bert"], place, value)))
    assert done.returncode == 1
    assert done.stdout == ""
    assert said in done.stderr
    assert "tokenizer.json'" in done.stderr


@pytest.mark.parametrize(
    ("place", "value"),
    [("model.dropout", 0.1), ("model.byte_fallback", True), ("model.continuing_subword_prefix", "@@"),
     ("model.merges", [["a"]]), ("model.merges", ["a b c"]), ("model.merges", [["never", "heard of"]])],
)  # fmt: skip
def test_what_is_not_known_of_bpe_is_refused(run, tokenizers, place, value):
    done = run(json.dumps(changed(tokenizers["roberta"], place, value)))
    assert done.returncode == 1
    assert place.split(".")[1] in done.stderr


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda text: text[: len(text) // 2], id="cut"),
        pytest.param(lambda text: "", id="empty"),
        pytest.param(lambda text: "[]", id="a list"),
        pytest.param(lambda text: "{}", id="no model"),
        pytest.param(lambda text: text.replace(":", ";", 1), id="no JSON"),
        pytest.param(lambda text: text.encode().replace(b"the", b"\xff\xfe", 1), id="no UTF-8"),
        pytest.param(lambda text: "[" * 1_000_000, id="deep"),
        pytest.param(lambda text: text.replace('"id": 0', '"id": 1e999', 1), id="a number that is too large"),
        pytest.param(lambda text: text.replace('"id": 0', '"id": 4294967296', 1), id="an id that is too large"),
    ],
)
def test_a_damaged_file_is_an_error(run, tokenizers, damage):
    done = run(damage(json.dumps(json.loads(tokenizers["bert"]))))
    assert done.returncode == 1
    assert "damaged" in done.stderr or "missing" in done.stderr
