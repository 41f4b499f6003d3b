"""Models, windows and helpers that the tests share. The models are random; what reads as real is in conftest.py."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from onnx import helper, numpy_helper
from tokenizers import Tokenizer
from transformers import AlbertConfig, BertConfig, DistilBertConfig, ElectraConfig, RobertaConfig

from bskim_export import QAPipeline
from bskim_export.checkpoint.loading import Checkpoint
from bskim_export.data.question import Question
from bskim_export.export.torch_reference import torch_inputs
from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.model.skim_config import SkimConfig
from bskim_export.runtime.runner import NOT_JUDGED
from bskim_export.runtime.windows import Window, WindowMaker

EXAMPLE = Path(__file__).parents[1] / "examples" / "minilm-l6-squad"


SHAPE = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}


def make_model(config, layers, max_seq_len: int | None = 384, predictor="diagonal") -> BlockSkimForQuestionAnswering:
    """Return a random model whose predictors disagree with each other about many blocks."""
    torch.manual_seed(0)
    if max_seq_len is not None:
        config.max_seq_length = max_seq_len
    config.skim_predictor = predictor
    model = BlockSkimForQuestionAnswering(config, SkimConfig.from_hf(config, layers)).eval()
    with torch.no_grad():
        for name, parameter in model.backbone.named_parameters():  # far from their initial zeros and ones
            sharp = 5.0 if "query" in name or "key" in name else 1.0
            parameter.add_(torch.randn(parameter.shape) * 0.1).mul_(sharp)
        for one in model.predictors.values():
            if predictor == "diagonal":  # no dead ReLUs
                one.bn1.bias.add_(1)
                one.bn2.bias.add_(1)
    return model


@torch.no_grad()
def spread_scores(checkpoint: Checkpoint, questions: list[Question]) -> None:
    """Scale the random classifiers until keep probabilities spread over 0 to 1 on real windows, and put each layer's
    threshold near their median, in a wide gap."""
    model, windows = checkpoint.model, windows_of(checkpoint, questions)
    outputs = [model(*(t[None] for t in torch_inputs(w))).skim_logits for w in windows]
    thresholds = []
    for layer in model.skim.layers:
        logits = torch.cat([o[layer][0, w.question_blocks :] for o, w in zip(outputs, windows, strict=True)])
        difference = logits[:, 1] - logits[:, 0]
        fc, scale = model.predictors[str(layer)].fc, 2 / difference.std()
        fc.weight.mul_(scale)
        fc.bias.mul_(scale)
        fc.bias[1] -= difference.mean() * scale
        spread = torch.sigmoid((difference - difference.mean()) * scale)
        thresholds.append(_widest_gap(spread.sort().values.tolist()))
    model.skim = replace(model.skim, thresholds=tuple(thresholds))


def _widest_gap(values: list[float]) -> float:
    middle = np.array(values[len(values) * 2 // 5 : len(values) * 3 // 5])
    place = np.argmax(np.diff(middle))
    return float(middle[place : place + 2].mean())


def windows_of(checkpoint: Checkpoint, questions: list[Question], max_seq_len: int = 384) -> list[Window]:
    """Return the questions' windows."""
    maker = WindowMaker(Tokenizer.from_str(checkpoint.tokenizer), checkpoint.describe())
    return [w for q in questions for w in maker(q.question, q.context, max_seq_len, 64)]


def without_ties(windows: list[Window], qa: QAPipeline) -> list[Window]:
    """Return the windows none of whose scores is so near to a threshold that neither decision is wrong.

    A tiny model's classifiers are scaled up to 600 times until its scores spread, and float32's rounding with them: up
    to 5e-4 of a probability against float64.
    """
    clear = []
    for window in windows:
        (result,) = qa.runner.run([window], qa.policy)
        margins = np.abs(result.probabilities - np.array([[qa.policy.threshold(i)] for i in qa.bundle.skim_layers]))
        if margins[result.probabilities != NOT_JUDGED].min(initial=1) > 2e-3:
            clear.append(window)
    assert len(clear) >= len(windows) * 2 // 3
    return clear


FAMILIES = {
    "bert with pruned heads": (BertConfig, {"pruned_heads": {"0": [0], "1": [3], "2": [1]}}),
    "albert": (AlbertConfig, {"embedding_size": 16, "vocab_size": 2000}),
    "albert of two groups": (AlbertConfig, {"embedding_size": 16, "vocab_size": 2000, "num_hidden_groups": 2}),
    "bert": (BertConfig, {}),
    "distilbert": (DistilBertConfig, {"hidden_dim": 48}),
    "electra": (ElectraConfig, {"embedding_size": 16}),
    "roberta": (RobertaConfig, {"max_position_embeddings": 514, "vocab_size": 2000, "type_vocab_size": 1}),
}


RARE = ("bert with pruned heads", "albert of two groups", "electra")


def usual(cases, rare=RARE):
    """Return cases of a test, those of rare families marked as slow: `make test-slow` runs them.

    Args:
        cases: names, or tuples that hold one
        rare: names
    """
    found = []
    for case in cases:
        parts = [case] if isinstance(case, str) else list(case)
        marks = [pytest.mark.slow] if any(part in rare for part in parts) else []
        found.append(pytest.param(case, marks=marks, id="-".join(map(str, parts))))
    return found


def run_in_triton_interpreter(program: str, *arguments) -> None:
    """Run a Python program whose Triton kernels run on the CPU, and fail with what it says.

    The interpreter must be switched on before Triton is imported and then holds for the whole process, so the program
    gets a process of its own.
    """
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        timeout=600,
    )
    assert done.returncode == 0, done.stderr


def model_of(nodes: list[onnx.NodeProto], width: int, **constants) -> ir.Model:
    """Return a graph that computes y, float32 [n, m], from x, float32 [n, width]."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", "m"])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))


def run_model(model: ir.Model, x: np.ndarray) -> np.ndarray:
    """Return the y of a graph that `model_of` made, by ONNX Runtime, after the graph was checked."""
    data = ir.to_proto(model).SerializeToString()
    onnx.checker.check_model(onnx.load_from_string(data))
    return open_session(data).run(["y"], {"x": x})[0]


def open_session(model: bytes | Path) -> ort.InferenceSession:
    """Return a session of ONNX Runtime with our options, for the content of a file or for a file."""
    return ort.InferenceSession(model, _session_options(), providers=["CPUExecutionProvider"])


def operations(model: ir.Model) -> list[str]:
    """Return the operators of a graph, in order."""
    return [node.op_type for node in model.graph]


def optimised_operations(model: ir.Model, folder: Path) -> list[str]:
    """Return the operators that ONNX Runtime makes of a graph; it writes the result into `folder`."""
    options = _session_options()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    ort.InferenceSession(ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]


def _session_options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return options


def types_in_graph(file: Path) -> tuple[onnx.GraphProto, dict[str, int]]:
    """Return the graph in a file, and the TensorProto type of each tensor in it by name."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(file)).graph
    types = {v.name: v.type.tensor_type.elem_type for v in [*graph.input, *graph.output, *graph.value_info]}
    return graph, types | {i.name: i.data_type for i in graph.initializer}
