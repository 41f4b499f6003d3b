"""Writes the graphs of a bundle. Each kind is exported once, rewritten by passes, and written for all its modules."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from bskim_export.bundle.checks import symmetric_file
from bskim_export.export.int8.quantizer import variants
from bskim_export.export.int8.ranges import ActivationStats
from bskim_export.export.onnx_graph import GraphTemplate, Input
from bskim_export.export.passes.fp16_products import halve_products
from bskim_export.export.passes.layer_norms import split_layer_norms
from bskim_export.export.template_cache import cached_template
from bskim_export.export.weights import WeightStore


@dataclass(frozen=True)
class Written:
    """A graph that was written.

    inputs, outputs: their names; inputs that nothing uses are left out
    symmetric: the file of an INT8 graph's standard form; else None
    """

    inputs: list[str]
    outputs: list[str]
    symmetric: str | None


class GraphWriter:
    """Writes the graphs of one bundle.

    Args:
        folder: the bundle's
        store: takes their weights
        precision: of the graphs
        stats: for INT8, of the inputs of the model's weights; else empty

    Attributes:
        files: names of what was written, in order
        written: how many graphs, the two forms of an INT8 graph counted as one
    """

    def __init__(self, folder: Path, store: WeightStore, precision: str, stats: Mapping[int, ActivationStats]):
        self._folder = folder
        self._store = store
        self._precision = precision
        self._stats = stats
        self._templates: dict[tuple[object, ...], dict[bool, GraphTemplate]] = {}
        self.files: list[str] = []
        self.written = 0

    def write(
        self,
        kind: tuple[object, ...],
        module: nn.Module,
        inputs: Mapping[str, Input],
        outputs: tuple[str, ...],
        file: str,
    ) -> Written:
        """Write the graph of a module.

        Args:
            kind: modules of one kind have the same graph, with weights of their own
            inputs: examples, in the order of forward's arguments
            outputs: names of its results
            file: where in the bundle
        """
        if kind not in self._templates:
            self._templates[kind] = self._export(module, inputs, outputs)
        forms = self._templates[kind]
        for symmetric, template in forms.items():
            name = symmetric_file(file) if symmetric else file
            template.write(module, self._folder / name, self._store)
            self.files.append(name)
        self.written += 1
        template = forms[False]
        return Written(template.inputs, template.outputs, symmetric_file(file) if True in forms else None)

    def _export(
        self, module: nn.Module, inputs: Mapping[str, Input], outputs: tuple[str, ...]
    ) -> dict[bool, GraphTemplate]:
        """Return the templates of a kind, by whether they are the symmetric form."""
        template = cached_template(module, inputs, outputs)
        # The other precisions are for GPUs, which have a kernel for LayerNormalization.
        if self._precision in ("fp32", "int8"):
            split_layer_norms(template.model)
        elif self._precision == "fp16":
            halve_products(template.model)
        return variants(template, module, self._stats)
