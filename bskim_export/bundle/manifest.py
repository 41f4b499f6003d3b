"""The fields of manifest.json. Standard library only.

How they are read and written is in `manifest_file`, how they must fit each other in `checks`.
"""

from dataclasses import dataclass, field

from bskim_export.bundle.tensors import TensorSpec

FORMAT_VERSION = 2
DOC_STRIDE = 128
MAX_ANSWER_LEN = 30
"""Tokens of an answer at most, as SQuAD systems are evaluated."""
WINDOW_SCALES = ("null", "logits", "window")
"""How answers of different windows are compared; see `runtime.scoring.best_answers`."""


@dataclass(frozen=True)
class Graph:
    """One ONNX file of the bundle and its inputs and outputs, in order.

    file: what ONNX Runtime runs on the CPU
    symmetric: of an INT8 graph, the file of the same in standard ONNX and with int8 activations of zero point 0, which
        is all that TensorRT takes; `file` has operators of ONNX Runtime's own, and activations in uint8
    """

    file: str
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    symmetric: str | None = None

    @property
    def input_names(self) -> list[str]:
        """Return the names of the inputs."""
        return [tensor.name for tensor in self.inputs]

    @property
    def output_names(self) -> list[str]:
        """Return the names of the outputs."""
        return [tensor.name for tensor in self.outputs]

    @property
    def standard(self) -> str:
        """Return the file that any runtime can read."""
        return self.symmetric or self.file


@dataclass(frozen=True)
class Stage:
    """The work between two skim points.

    layers: the transformer layers whose attention this stage computes, first to last
    skim_layer: the layer whose predictor follows the stage; None for the last stage
    skim: that predictor's graph
    """

    graph: Graph
    layers: list[int]
    skim_layer: int | None = None
    skim: Graph | None = None


@dataclass(frozen=True)
class Model:
    """The model as the runtime knows it: shapes, special positions, identity.

    predictor_macs: multiply-accumulates of a predictor for one passage block; 0 without predictors
    predictor_question_macs: the same for one question block; 0 if it does not look at them
    predictor: the kind of the predictors
    position_offset: position id of a window's first token (0 for BERT, 2 for RoBERTa)
    pad_position: position id of a padding token, or None if padding counts on
    """

    family: str
    source: str
    num_layers: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    head_size: int
    embedding_size: int
    type_vocab_size: int
    block_size: int
    max_seq_len: int
    pad_token_id: int
    cls_token_id: int | None
    predictor_macs: int
    position_offset: int = 0
    pad_position: int | None = None
    predictor: str = "diagonal"
    predictor_question_macs: int = 0


@dataclass(frozen=True)
class RunDefaults:
    """How a bundle's questions are run unless a call says otherwise; see `runtime.options.RunOptions`.

    max_seq_len: positions of a window, question and special tokens included
    doc_stride: passage tokens that neighbouring windows share
    max_answer_len: tokens of an answer at most
    window_scale: what the model was trained for, one of WINDOW_SCALES
    """

    max_seq_len: int
    doc_stride: int
    max_answer_len: int = MAX_ANSWER_LEN
    window_scale: str = WINDOW_SCALES[0]

    @classmethod
    def of_length(cls, max_seq_len: int, window_scale: str = WINDOW_SCALES[0]) -> "RunDefaults":
        """Return the defaults of windows of so many positions: they share DOC_STRIDE tokens, or half of a short one.

        Example:
            >>> RunDefaults.of_length(384).doc_stride, RunDefaults.of_length(100).doc_stride
            (128, 50)
        """
        return cls(max_seq_len, min(DOC_STRIDE, max_seq_len // 2), window_scale=window_scale)


@dataclass(frozen=True)
class EngineSet:
    """The compiled engines of all graphs for one kind of GPU.

    backend, version: what compiled them
    compute_capability: of the GPU, like "8.9"
    batch_size: windows that run together: the usual number and the most
    length: positions of a window: the usual number and the most
    files: the SHA-256 of each compiled engine, by its file's name in `folder`; others are never loaded from there
    """

    backend: str
    version: str
    compute_capability: str
    batch_size: list[int]
    length: list[int]
    files: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Return where in the bundle they are."""
        return f"engines/{self.backend}-{self.compute_capability}"


@dataclass(frozen=True)
class CpuWay:
    """One way to run the bundle on a CPU.

    backend, precision: what computes, and in what
    needs: the features of the processor without which it would not be as fast; see `backends.processor`
    skim_layers, document_skim_layers: the layers whose predictors run, for questions of one window and of several;
        those of others cost more time than they saved
    seconds: per question, from text to answer, one question at a time
    """

    backend: str
    precision: str
    needs: list[str]
    skim_layers: list[int]
    document_skim_layers: list[int]
    seconds: float


@dataclass(frozen=True)
class CpuChoice:
    """The ways to run the bundle on a CPU, as `bskim-export --for cpu` measured them.

    processor, threads: that they were measured on, and with
    thresholds, document_thresholds: in the order of the bundle's skim layers, those that they were measured at; at
        others all predictors run
    ways: fastest first
    """

    processor: str
    threads: int
    thresholds: list[float]
    document_thresholds: list[float]
    ways: list[CpuWay]


@dataclass(frozen=True)
class Split:
    """How a split model is run: its lower layers read question and passage apart, its stages are the layers above.

    layer: the first in which question and passage see each other
    retrieval_layers: that the retrieval predictor has of its own, above the lower ones
    parts, width: vectors of features that a block has, and their size
    max_blocks: passage blocks that a question reads unless a call says otherwise
    window_blocks: that are read together at most
    prepare: sections of a passage to states and features
    question: questions to states and what they look for among the features
    """

    layer: int
    retrieval_layers: int
    parts: int
    width: int
    max_blocks: int
    window_blocks: int
    prepare: Graph
    question: Graph


@dataclass(frozen=True)
class Manifest:
    """The contents of manifest.json.

    thresholds: of each layer that has a predictor, the keep probability from which a block stays
    document_thresholds: the same for questions of several windows; empty if `thresholds` serves both
    single: stages and predictors joined to one graph of one window, for runtimes that compile shapes that depend on
        data; None where there is none
    dense_alone: the dense model as a graph of one window, for the same runtimes
    cpu: how it is best run on a CPU, if that was measured
    split: of a split model, its lower layers; `dense` and `stages` are the layers above then
    defaults: how questions are run unless a call says otherwise
    files: the SHA-256 of each; those of compiled engines stand in `engines`
    """

    model: Model
    dense: Graph
    stages: list[Stage]
    thresholds: dict[int, float]
    defaults: RunDefaults
    precision: str
    files: dict[str, str]
    versions: dict[str, str]
    engines: list[EngineSet] = field(default_factory=list)
    document_thresholds: dict[int, float] = field(default_factory=dict)
    single: Graph | None = None
    dense_alone: Graph | None = None
    cpu: CpuChoice | None = None
    split: Split | None = None
    format_version: int = FORMAT_VERSION

    @property
    def skim_layers(self) -> list[int]:
        """Return the layers that have a predictor."""
        return [s.skim_layer for s in self.stages if s.skim_layer is not None]

    @property
    def graphs(self) -> list[Graph]:
        """Return the graphs that take batches: a split model's lower layers, stages and predictors in the order in
        which they run, then the dense one if it is not among them."""
        lower = [self.split.prepare, self.split.question] if self.split is not None else []
        found = [*lower, *(g for s in self.stages for g in (s.graph, s.skim) if g is not None)]
        return found if self.dense in found else [*found, self.dense]

    @property
    def longest(self) -> int:
        """Return how many positions a window has at most: of a split model, those of a question and what it reads."""
        read = 0 if self.split is None else self.split.window_blocks * self.model.block_size
        return self.model.max_seq_len + read

    @property
    def graphs_alone(self) -> list[Graph]:
        """Return the graphs that take one window."""
        return [g for g in (self.single, self.dense_alone) if g is not None]
