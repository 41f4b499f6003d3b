"""A skimming model as one ONNX file that any runtime can run, with its tokenizer and config beside it."""

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import onnx_ir as ir
from tokenizers import Tokenizer

from bskim_export.atomic import check_output, write_atomic
from bskim_export.bundle.bundle import Bundle
from bskim_export.checkpoint.loading import Checkpoint
from bskim_export.checkpoint.publishing import as_json, describing_files
from bskim_export.data.question import Question, sample
from bskim_export.data.squad import load_squad
from bskim_export.errors import CheckpointError, InputError, OutputError, only_own_errors
from bskim_export.evaluate.loop import cut_windows
from bskim_export.export.exporter import PARITY_QUESTIONS, Progress, export_bundle
from bskim_export.export.parity import require_questions
from bskim_export.export.single.proof import StandaloneRunner, require_same
from bskim_export.export.single.separator import find_separator
from bskim_export.export.single.skim_graph import make_skim_graph
from bskim_export.export.split_write import check_joint
from bskim_export.runtime.pipeline import QAPipeline

PRODUCER = b"bskim-export"
BESIDE = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "config.json")
LARGEST = 2**31 - 1
"""Bytes of a file that holds its own weights: what protobuf takes."""


@only_own_errors
def export_standalone(
    checkpoint: Checkpoint,
    out: str | Path,
    *,
    questions: Sequence[Question] | None = None,
    progress: Progress = lambda what, done, total: None,
) -> int:
    """Export a model that skims to one ONNX file, prove it, and write it with tokenizer and config beside it.

    The graph has the inputs of any BERT in ONNX, and the thresholds of the model in it. A question has one window
    there: a window in which every block is refused keeps its surest one.

    Args:
        checkpoint: from load_checkpoint, with predictors
        out: the file, `model.onnx` as a rule. Its folder may hold a model that this function wrote; another model's
            files are not written over
        questions: on which the file must give the blocks and answers of the bundle, and the bundle those of PyTorch;
            default: 32 of SQuAD's dev set
        progress: as for `export_bundle`

    Returns:
        how many questions that was shown on

    Raises:
        CheckpointError: the model has no predictors, or its tokenizer puts nothing between question and passage.
        InputError: `out` does not end with .onnx.
        OutputError: `out` cannot be written, or other files are beside it.
        ParityError: blocks or answers differ.

    Example:
        >>> from bskim_export import load_checkpoint
        >>> export_standalone(load_checkpoint("examples/minilm-l6-squad"), "onnx/model.onnx")  # doctest: +SKIP
    """
    out = Path(out)
    check_standalone(out)
    check_joint(checkpoint.model, "one ONNX file that skims by itself")
    if not checkpoint.model.skim.layers:
        raise CheckpointError("The model has no skim predictors: as one graph it is the dense model.")
    if questions is None:
        questions = sample(load_squad(), PARITY_QUESTIONS)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "bundle")
        export_bundle(checkpoint, folder, questions=questions, progress=progress)
        bundle = Bundle.open(folder)
        separator = find_separator(Tokenizer.from_str(checkpoint.tokenizer))
        model = make_skim_graph(bundle.manifest, lambda file: ir.load(folder / file), separator)
        content = ir.to_proto(ir.external_data.load_to_model(model)).SerializeToString(deterministic=True)
        if len(content) > LARGEST:
            raise CheckpointError(f"The model takes {len(content) / 1e9:.1f} GB, and a file of ONNX holds 2 at most.")
        ours = QAPipeline(bundle, backend="onnxruntime").answerer()
        # Without a runtime, a question has one window.
        questions = [q for q in questions if len(cut_windows(ours, q)) == 1]
        require_questions(questions)
        alone = StandaloneRunner(content, bundle.model, bundle.skim_layers)
        require_same(ours, alone, questions)
    files = describing_files(checkpoint, checkpoint.model.skim, "float32")
    files["special_tokens_map.json"] = as_json(_special_tokens(files["tokenizer_config.json"]))
    check_standalone(out)
    # The graph comes last: where it is new, all is.
    for name, data in [*((out.parent / name, files[name]) for name in BESIDE), (out, content)]:
        write_atomic(name, _writer(data))
    return len(questions)


def check_standalone(out: Path) -> None:
    """Do nothing if a model may be written to `out`; raise as `export_standalone` does otherwise."""
    if out.suffix != ".onnx":
        raise InputError(f"'{out}' does not end with .onnx: --layout single writes one file. Pass --out model.onnx.")
    check_output(out)
    others = [name for name in BESIDE if os.path.lexists(out.parent / name)]
    if others and not _is_ours(out):
        raise OutputError(
            f"'{out.parent}' holds {', '.join(others)} of another model; nothing was changed. Choose another folder."
        )


def _is_ours(path: Path) -> bool:
    try:
        with open(path, "rb") as stream:
            return PRODUCER in stream.read(64)
    except OSError:
        return False


def _special_tokens(tokenizer_config: bytes) -> dict[str, str]:
    return {name: token for name, token in json.loads(tokenizer_config).items() if name.endswith("_token")}


def _writer(data: bytes) -> Callable[..., object]:
    return lambda stream: stream.write(data)
