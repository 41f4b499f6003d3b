"""The bundle's tokenizer is what AutoTokenizer makes of the directory, or the directory is refused."""

import contextlib
import json

import pytest
from support import EXAMPLE
from tokenizers import AddedToken, Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, BertTokenizer

from bskim_export.checkpoint.loading import Checkpoint, load_checkpoint
from bskim_export.checkpoint.tokenizer_files import tokenizer_json
from bskim_export.data.question import sample
from bskim_export.errors import CheckpointError

TEXTS = (
    "Ada Lovelace wrote it",
    "Où est-il né ?",
    "  two   spaces\n",
    "東京 and Zürich's <b>",
    "It's 1843.",
    "[SEP] </s>",
)


def same_ids(made, loaded) -> None:
    ours = Tokenizer.from_str(loaded.tokenizer)
    for text in TEXTS:
        assert ours.encode(text).ids == made.theirs(text), text


def write_vocabulary(made) -> dict[str, int]:
    vocabulary = Tokenizer.from_file(str(made.path / "tokenizer.json")).get_vocab()
    (made.path / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.get)), encoding="utf-8")
    (made.path / "tokenizer.json").unlink()
    return vocabulary


def write_bpe(made) -> None:
    model = json.loads((made.path / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    (made.path / "vocab.json").write_text(json.dumps(model["vocab"]), encoding="utf-8")
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    (made.path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    (made.path / "tokenizer.json").unlink()


def test_the_examples_ids_are_those_of_its_tokenizer_json(minilm, squad):
    """What AutoTokenizer makes of the example is what was read from tokenizer.json alone."""
    before = Tokenizer.from_str(tokenizer_json((EXAMPLE / "tokenizer.json").read_text(encoding="utf-8")))
    after = Tokenizer.from_str(minilm.tokenizer)
    theirs = AutoTokenizer.from_pretrained(EXAMPLE)
    for question in sample(squad, 500):
        ids = after.encode(question.question, question.context).ids
        assert ids == before.encode(question.question, question.context).ids
        assert ids == theirs(question.question, question.context)["input_ids"]


SETTINGS = (
    ("bert", {"do_lower_case": False}),
    ("bert", {"do_lower_case": False, "strip_accents": True}),
    ("bert", {"strip_accents": False, "tokenizer_class": "BertTokenizerFast"}),
    ("bert", {"tokenize_chinese_chars": False, "tokenizer_class": "BertTokenizer"}),
    ("bert", {"do_lower_case": False, "tokenizer_class": "PreTrainedTokenizerFast"}),
    ("bert", {"do_lower_case": False, "tokenizer_class": "PreTrainedTokenizer"}),
    ("bert", {"do_lower_case": False, "tokenizer_class": "NobodysTokenizer"}),
    ("distilbert", {"do_lower_case": False, "tokenizer_class": "DistilBertTokenizer"}),
    ("electra", {"do_lower_case": False, "tokenizer_class": "ElectraTokenizer"}),
    ("roberta", {"add_prefix_space": True}),
    ("roberta", {"trim_offsets": False, "tokenizer_class": "RobertaTokenizer"}),
    ("albert", {"do_lower_case": False, "tokenizer_class": "AlbertTokenizer"}),
    ("albert", {"keep_accents": True}),
)


@pytest.mark.parametrize(("family", "settings"), SETTINGS)
def test_tokenizer_config_decides_as_it_does_in_transformers(directory, logged, family, settings):
    made = directory(family)
    made.change_json("tokenizer_config.json", **settings)
    loaded = load_checkpoint(made.path)
    same_ids(made, loaded)
    ours = Tokenizer.from_str(loaded.tokenizer)
    theirs = Tokenizer.from_str(tokenizer_json(AutoTokenizer.from_pretrained(made.path)))
    assert all(ours.encode(text).offsets == theirs.encode(text).offsets for text in TEXTS)
    plain = tokenizer_json((made.path / "tokenizer.json").read_text(encoding="utf-8"))
    changed = any(ours.encode(text).offsets != Tokenizer.from_str(plain).encode(text).offsets for text in TEXTS)
    assert not changed or any("disagree" in line for line in logged)


@pytest.mark.parametrize("settings", [{}, {"do_lower_case": False}, {"do_lower_case": True, "strip_accents": False}])
def test_vocab_txt_is_read_as_transformers_reads_it(directory, settings):
    made = directory("bert")
    write_vocabulary(made)
    if settings:
        made.change_json("tokenizer_config.json", **settings)
    loaded = load_checkpoint(made.path)
    loaded.describe()
    same_ids(made, loaded)


def test_vocab_json_and_merges_are_read_as_transformers_reads_them(directory):
    """Their class adds a mask token, which the model has no embedding for, and which no text has."""
    made = directory("roberta")
    write_bpe(made)
    made.change_json("tokenizer_config.json", add_prefix_space=True)
    loaded = load_checkpoint(made.path)
    loaded.describe()
    same_ids(made, loaded)


def test_added_tokens_are_kept(directory):
    made = directory("bert")
    made.change_json("config.json", vocab_size=30523)
    state = made.weights()
    name = "bert.embeddings.word_embeddings.weight"
    made.store(state | {name: state[name].new_zeros(30523, 32)})
    token = {"content": "[PLACE]", "lstrip": False, "rstrip": False, "normalized": False, "single_word": False}
    made.change_json("tokenizer_config.json", added_tokens_decoder={"30522": token | {"special": True}})
    loaded = load_checkpoint(made.path)
    loaded.describe()
    assert 30522 in Tokenizer.from_str(loaded.tokenizer).encode("In [PLACE] it was").ids
    assert Tokenizer.from_str(loaded.tokenizer).encode("In [PLACE] it was").ids == made.theirs("In [PLACE] it was")


def test_without_a_tokenizer_config_the_tokenizer_json_stands(directory):
    """AutoTokenizer would lower-case it, because that is the default of BERT's class."""
    made = directory("bert")
    cased = BertTokenizer(Tokenizer.from_file(str(made.path / "tokenizer.json")).get_vocab(), do_lower_case=False)
    (made.path / "tokenizer.json").write_text(tokenizer_json(cased), encoding="utf-8")
    assert load_checkpoint(made.path).tokenizer == tokenizer_json(cased)


FOREIGN = (
    ("bert", "vocab.json", "BertTokenizer reads vocab.txt"),
    ("albert", "vocab.txt", "AlbertTokenizer reads spiece.model"),
    ("roberta", "vocab.txt", "RobertaTokenizer reads vocab.json and merges.txt"),
    ("roberta", "vocab.json", "RobertaTokenizer reads vocab.json and merges.txt"),
    ("electra", "spiece.model", "BertTokenizer reads vocab.txt"),
)


@pytest.mark.parametrize(("family", "file", "message"), FOREIGN)
def test_the_vocabulary_of_another_family_is_refused_at_once(directory, family, file, message):
    made = directory(family)
    (made.path / "tokenizer.json").unlink()
    (made.path / file).write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nthe\n")
    assert message in made.refusal()


@pytest.mark.parametrize("lines", [0, 1, 5, 10_000])
def test_a_vocabulary_of_far_fewer_tokens_than_the_model_is_refused(directory, lines):
    made = directory("bert")
    vocabulary = write_vocabulary(made)
    (made.path / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.get)[:lines]))
    assert "the model 30,522: its vocabulary was not read" in made.refusal()


def test_a_word_list_of_byte_level_pieces_is_refused(directory):
    """Such a vocab.txt has as many tokens as it should, and knows hardly a word."""
    made = directory("bert")
    vocabulary = write_vocabulary(made)
    other = [
        f"\u0120{token}" if not token.startswith("[") else token for token in sorted(vocabulary, key=vocabulary.get)
    ]
    (made.path / "vocab.txt").write_text("\n".join(other), encoding="utf-8")
    assert "words of its own vocabulary" in made.refusal()


@pytest.mark.parametrize("token", ["the", "zhou", "[MASK]", "##s"])
def test_one_id_beyond_the_embeddings_is_refused_whichever_token_has_it(directory, token):
    made = directory("bert")
    content = json.loads((made.path / "tokenizer.json").read_text(encoding="utf-8"))
    content["model"]["vocab"][token] = 1_000_000
    content["added_tokens"] = [t for t in content["added_tokens"] if t["content"] != token]
    (made.path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    message = made.refusal()
    assert f"up to id 1,000,000 ('{token}'), the model only 30,522: they do not belong together" in message


@pytest.mark.parametrize("beside", [True, False])
def test_two_tokens_with_one_id_are_refused(directory, beside):
    """tokenizers takes such a vocabulary, and forgets one of the two when it writes it."""
    made = directory("bert")
    content = json.loads((made.path / "tokenizer.json").read_text(encoding="utf-8"))
    content["model"]["vocab"]["the"] = content["model"]["vocab"]["book"]
    (made.path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    if beside:
        made.change_json("tokenizer_config.json")
    assert "two tokens of its vocabulary have the same id" in made.refusal()


def refused(checkpoint, change) -> str:
    """Return the message with which a changed tokenizer of a checkpoint's is refused."""
    tokenizer = Tokenizer.from_str(checkpoint.tokenizer)
    change(tokenizer)
    with pytest.raises(CheckpointError) as caught:
        Checkpoint(checkpoint.model, tokenizer.to_str(), "x").describe()
    return str(caught.value)


def test_added_and_special_tokens_count_too(tiny):
    def add(tokenizer):
        tokenizer.add_tokens(["notinthere"])

    def add_special(tokenizer):
        tokenizer.add_special_tokens([AddedToken("[NEW]")])

    def template(tokenizer):
        tokenizer.post_processor = TemplateProcessing(
            "[CLS] $A", "[CLS] $A [SEP] $B", [("[CLS]", 40_000), ("[SEP]", 102)]
        )

    for change in (add, add_special, template):
        assert "they do not belong together" in refused(tiny("bert"), change)


def test_texts_must_lie_between_special_tokens_in_their_order(tiny):
    def nothing(tokenizer):
        tokenizer.post_processor = TemplateProcessing("$A", "$A $B", [])

    def behind(tokenizer):
        tokenizer.post_processor = TemplateProcessing("$A [SEP]", "$A [SEP] $B", [("[SEP]", 102)])

    def swapped(tokenizer):
        tokenizer.post_processor = TemplateProcessing("[CLS] $A", "[CLS] $B [SEP] $A", [("[CLS]", 101), ("[SEP]", 102)])

    for change in (nothing, behind, swapped):
        assert "no special tokens around a question and a passage" in refused(tiny("bert"), change)


def test_token_types_that_the_model_does_not_have_are_refused(tiny):
    def third(tokenizer):
        tokens = [("[CLS]", 101), ("[SEP]", 102)]
        tokenizer.post_processor = TemplateProcessing("[CLS] $A", "[CLS] $A [SEP] $B:2", tokens)

    assert "gives token type 2, the model has 2" in refused(tiny("bert"), third)


def test_a_tokenizer_that_fails_on_a_rare_character_is_refused(wordpiece, tiny):
    """Without its unknown token, WordPiece ends with an error at the first character that it does not know."""
    content = json.loads(wordpiece)
    content["model"]["unk_token"] = "[NONE]"
    with pytest.raises(CheckpointError, match="cannot cut a text into tokens"):
        Checkpoint(tiny("bert").model, tokenizer_json(json.dumps(content)), "x").describe()


def test_the_dropout_of_training_is_switched_off(byte_level):
    content = json.loads(byte_level)
    content["model"]["dropout"] = 0.5
    tokenizer = Tokenizer.from_str(tokenizer_json(json.dumps(content)))
    expected = Tokenizer.from_str(byte_level).encode(TEXTS[0]).ids
    assert all(tokenizer.encode(TEXTS[0]).ids == expected for _ in range(20))


@pytest.mark.parametrize("content", ["5", "[]", "{}", '{"version":"1.0","model":{"type":"WordPiece"}}', "[" * 100_000])
def test_what_is_no_tokenizer_is_refused(directory, content):
    made = directory()
    (made.path / "tokenizer.json").write_text(content)
    assert "not a valid tokenizer.json" in made.refusal()
    made.change_json("tokenizer_config.json")
    assert "not a valid tokenizer.json" in made.refusal()


@pytest.mark.parametrize(
    "settings",
    [
        {"added_tokens_decoder": 5}, {"added_tokens_decoder": {"x": {}}}, {"cls_token": {"a": 1}},
        {"do_lower_case": "x"}, {"extra_special_tokens": 5}, {"unk_token": None}, {"additional_special_tokens": [{}]},
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_read_as_transformers_does_or_refused(directory, settings):
    made = directory()
    made.change_json("tokenizer_config.json", **settings)
    with contextlib.suppress(CheckpointError):
        same_ids(made, load_checkpoint(made.path))
