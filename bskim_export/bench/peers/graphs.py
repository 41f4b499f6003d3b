"""Peers that run one plain ONNX graph of the model: ONNX Runtime and OpenVINO."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from bskim_export.bench.peers.base import Logits, Peer, Tokens

OUTPUTS = ("start_logits", "end_logits")


class _Plain(nn.Module):
    def __init__(self, model: PreTrainedModel):
        super().__init__()
        self.model = model
        self.typed = getattr(model.config, "type_vocab_size", 0) > 1

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> tuple[Tensor, Tensor]:
        types = {"token_type_ids": token_type_ids} if self.typed else {}
        found = self.model(input_ids=input_ids, attention_mask=attention_mask, **types)
        return found.start_logits, found.end_logits


def export_plain(model: PreTrainedModel, path: Path) -> Path:
    """Write a model as one ONNX graph that takes batches of any size and length, and return its path."""
    tokens = {name: torch.ones(2, 70, dtype=torch.long) for name in ("input_ids", "attention_mask", "token_type_ids")}
    any_size = torch.export.Dim.DYNAMIC
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Plain(model).eval(),
            tuple(tokens.values()),
            path,
            dynamo=True,
            opset_version=20,
            input_names=list(tokens),
            output_names=list(OUTPUTS),
            dynamic_shapes=[{0: any_size, 1: any_size}] * len(tokens),
            external_data=False,
            verbose=False,
        )
    return path


def onnxruntime_peers(graph: Path, threads: int) -> Iterator[Peer]:
    """Yield ONNX Runtime's default session of the graph, and of its dynamically quantised form."""
    import onnxruntime as ort
    from onnxruntime.quantization import quantize_dynamic

    quantised = graph.with_suffix(".int8.onnx")
    quantize_dynamic(graph, quantised)
    for file, precision in ((graph, "fp32"), (quantised, "int8")):
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # Sessions take turns here: threads that spin after theirs would take the cores of the next.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        names = [one.name for one in session.get_inputs()]

        def forward(tokens: Tokens, session: ort.InferenceSession = session, names: list[str] = names) -> Logits:
            start, end = session.run(list(OUTPUTS), {name: tokens[name] for name in names})
            return start, end

        yield Peer(f"onnxruntime {precision}", forward)


def openvino_peers(graph: Path, threads: int) -> Iterator[Peer]:
    """Yield OpenVINO's compiled graph in fp32, and in bfloat16 where the processor has it."""
    import openvino as ov

    core = ov.Core()
    precisions = ["f32", *(["bf16"] if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else [])]
    for precision in precisions:
        settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads}
        compiled = core.compile_model(str(graph), "CPU", {**settings, "PERFORMANCE_HINT": "LATENCY"})
        names = [port.get_any_name() for port in compiled.inputs]
        yield Peer(f"openvino {precision.replace('f32', 'fp32')}", _infer(compiled, names))


def _infer(compiled: Callable[..., object], names: list[str]) -> Callable[[Tokens], Logits]:
    def forward(tokens: Tokens) -> Logits:
        found = compiled({name: tokens[name] for name in names})
        return found[0], found[1]  # type: ignore[index]

    return forward
