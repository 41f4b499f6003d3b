"""Where the time of ONNX Runtime goes inside a graph, node by node, as its own profiler tells."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bskim_export.backends.onnxruntime import OnnxRuntimeBackend, OnnxRuntimeEngine
from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.manifest import Graph


@dataclass(frozen=True)
class NodeTime:
    """One run of one node.

    graph: its file in the bundle
    name: of the node; ONNX Runtime names those anew that it makes of several
    kind: its operator
    sizes: the shapes of its inputs and outputs, but for weights that were packed ahead of time
    microseconds: what it took, with the profiler's own share of about one
    """

    graph: str
    name: str
    kind: str
    sizes: Sequence[Sequence[int]]
    microseconds: float


class ProfilingBackend(OnnxRuntimeBackend):
    """ONNX Runtime with its profiler on: every node takes about a microsecond more. Use as a context manager.

    Args:
        threads: see OnnxRuntimeBackend
    """

    def __init__(self, threads: int | None = None):
        super().__init__(threads)
        self._engines: dict[str, OnnxRuntimeEngine] = {}

    def __enter__(self) -> "ProfilingBackend":
        self._folder = tempfile.TemporaryDirectory()
        return self

    def __exit__(self, *exception: object) -> None:
        self._folder.cleanup()

    def load(self, bundle: Bundle, graph: Graph, streams: int = 1) -> OnnxRuntimeEngine:
        """Compile one graph of a bundle; see `Backend.load`."""
        engine = self.compile(bundle, graph, streams, profile=Path(self._folder.name, Path(graph.file).stem))
        self._engines[graph.file] = engine
        return engine

    def node_times(self) -> Iterator[NodeTime]:
        """Yield what ran since the graphs were loaded. Called once."""
        for graph, engine in self._engines.items():
            for event in json.loads(engine.end_profile().read_bytes()):
                arguments = event.get("args", {})
                kind = arguments.get("op_name")
                # An If is what stands in its branches, and that is told by itself.
                if event.get("cat") != "Node" or not event["name"].endswith("_kernel_time") or kind == "If":
                    continue
                shapes = [*arguments["input_type_shape"], *arguments["output_type_shape"]]
                sizes = [size for shape in shapes for size in shape.values()]
                yield NodeTime(graph, event["name"].removesuffix("_kernel_time"), kind, sizes, event["dur"])
