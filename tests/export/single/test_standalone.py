"""A model in one ONNX file: whoever knows ONNX Runtime and tokenizers gets our answers from it."""

import json

import numpy as np
import onnxruntime as ort
import pytest
from commands.cli import in_one_line, run
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoTokenizer

from bskim_export import QAPipeline
from bskim_export.data.question import sample
from bskim_export.errors import CheckpointError, InputError, OutputError
from bskim_export.export.single.standalone import BESIDE, export_standalone


@pytest.fixture(scope="module")
def written(tiny, squad, tmp_path_factory):
    """A folder with a tiny model."""
    folder = tmp_path_factory.mktemp("standalone")
    export_standalone(tiny("bert", (0, 1, 2), "question"), folder / "model.onnx", questions=sample(squad, 4))
    return folder


def answer(folder, question, context):
    """Answer with nothing of ours: the span of the largest sum, at most 30 tokens long."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    encoding = tokenizer.encode(question, context)
    session = ort.InferenceSession(str(folder / "model.onnx"))
    names = {"input_ids": encoding.ids, "attention_mask": encoding.attention_mask, "token_type_ids": encoding.type_ids}
    feeds = {i.name: np.array([names[i.name]], np.int64) for i in session.get_inputs()}
    start, end = (logits[0].astype(np.float64) for logits in session.run(["start_logits", "end_logits"], feeds))
    passage = np.array([s == 1 for s in encoding.sequence_ids])
    score = start[:, None] + end[None]
    score[~np.triu(np.tril(np.outer(passage, passage), 29))] = -np.inf
    first, last = np.unravel_index(score.argmax(), score.shape)
    return context[encoding.offsets[first][0] : encoding.offsets[last][1]]


def test_twenty_lines_that_import_nothing_of_ours_give_our_answers(written, tiny_bundle, squad):
    qa = QAPipeline(tiny_bundle("bert", (0, 1, 2), "question"))
    questions = [q for q in sample(squad, 30, seed=4) if len(q.context) < 1200]
    same = 0
    for q in questions:
        ours = qa(question=q.question, context=q.context, align_to_words=False)["answer"]
        same += answer(written, q.question, q.context) == ours
    assert same >= len(questions) - 2  # ties of a random model


def test_tokenizer_and_config_are_where_others_look_for_them(written):
    assert sorted(path.name for path in written.iterdir()) == sorted([*BESIDE, "model.onnx"])
    assert AutoConfig.from_pretrained(written).model_type == "bert"
    assert AutoTokenizer.from_pretrained(written)("a", "b")["input_ids"][0] == 101
    assert json.loads((written / "special_tokens_map.json").read_text())["sep_token"] == "[SEP]"


def test_what_another_program_wrote_is_not_written_over(tiny, squad, tmp_path, written):
    checkpoint = tiny("bert", (0, 1, 2), "question")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(OutputError, match=r"holds config\.json of another model; nothing was changed"):
        export_standalone(checkpoint, tmp_path / "model.onnx")
    assert (tmp_path / "config.json").read_text() == "{}"
    before = (written / "model.onnx").read_bytes()
    export_standalone(checkpoint, written / "model.onnx", questions=sample(squad, 4))
    assert (written / "model.onnx").read_bytes() == before


def test_what_cannot_be_one_graph_is_refused(tiny, tmp_path):
    with pytest.raises(CheckpointError, match="no skim predictors"):
        export_standalone(tiny("bert", ()), tmp_path / "model.onnx")
    with pytest.raises(InputError, match=r"does not end with \.onnx"):
        export_standalone(tiny("bert", (0, 1, 2), "question"), tmp_path / "model")
    done = run("export", tmp_path, "--layout", "single", "--precision", "fp16", "--out", tmp_path / "model.onnx")
    assert done.exit_code == 1
    assert "pass neither --precision nor --backend" in in_one_line(done)
