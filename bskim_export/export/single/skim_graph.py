"""The skimming model as one graph: stages, predictors, and between them what the orchestrator decides on the host.

Plain ONNX operators and no loop. Where nobody steers it, its inputs are those of any BERT in ONNX; where the runtime
does, those of `bundle.single_graph.input_specs`. Its outputs are those of `output_specs` there.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from bskim_export.bundle import single_graph
from bskim_export.bundle.manifest import Graph, Manifest
from bskim_export.bundle.tensors import LOGITS
from bskim_export.export.onnx_graph import IR_VERSION
from bskim_export.export.passes.one_window import fit_to_one_window
from bskim_export.export.single.builder import Builder
from bskim_export.export.single.layout import Facts
from bskim_export.export.single.settings import fixed_settings, read_settings
from bskim_export.export.single.state import State

Load = Callable[[str], ir.Model]
"""Returns the graph of a file of the bundle. Each call returns another copy."""


def make_skim_graph(manifest: Manifest, load: Load, separator: tuple[int, int] | None = None) -> ir.Model:
    """Return the graph.

    Args:
        manifest: of the bundle whose graphs are joined
        load: reads them
        separator: of a graph that nobody steers, the id of the token behind a question, and how many of them stand
            there. The bundle's thresholds hold in it, and every window is a question's only one
    """
    model = manifest.model
    layers = manifest.skim_layers
    alone = separator is None
    typed = model.type_vocab_size > 1

    def part(graph: Graph) -> ir.Model:
        found = load(graph.file)
        if alone:
            fit_to_one_window(found)
        return found

    if separator is None:
        specs = single_graph.input_specs(len(layers))
    else:
        specs = single_graph.token_specs(single_graph.TOKENS if typed else single_graph.TOKENS[:2])
    b = Builder(specs)
    length = b.size(b.inputs["input_ids"], 1)
    blocks = b.op("Div", b.op("Add", length, model.block_size - 1), model.block_size)
    by_block = b.shape(b.size(b.inputs["input_ids"], 0), blocks, model.block_size)
    ends = b.shape(0, 0, 0, b.op("Sub", b.op("Mul", blocks, model.block_size), length))

    def in_blocks(name: str, filler: int) -> ir.Value:
        """Return an input with its last block filled up, [B, K, k]."""
        return b.op("Reshape", b.op("Pad", b.inputs[name], ends, filler), by_block)

    ids = in_blocks("input_ids", model.pad_token_id)
    real = b.op("Cast", in_blocks("attention_mask", 0), to=ir.DataType.BOOL)
    if separator is None:
        first = _before(b, b.inputs["question_length"], ids, model.block_size)
    elif typed:
        first = b.op("Equal", in_blocks("token_type_ids", 0), 0)
    else:
        first = _before(b, _behind_separator(b, ids, separator), ids, model.block_size)
    facts = Facts(real, b.op("And", real, first))
    if separator is None:
        settings = read_settings(b, len(layers))
    else:
        settings = fixed_settings(b, [manifest.thresholds[i] for i in layers], facts)
    state = State(b, manifest, facts, settings, alone)

    outputs: dict[str, ir.Value] = {}
    fed = state.tokens(ids)
    for number, stage in enumerate(manifest.stages):
        run = partial(b.splice, part(stage.graph), f"stage_{number}", fed | state.feeds)
        outputs = state.unless_left(run, stage.graph.outputs) if number else run()
        layer, skim = stage.skim_layer, stage.skim
        if layer is None or skim is None:
            break
        if alone or manifest.thresholds[layer] > 0:
            given = outputs | state.feeds
            predict = partial(b.splice, part(skim), f"skim_{layer}", given)
            state.judge(number, predict)
            kept = state.drop(number)
        else:
            kept = state.pass_on()
        fed = {"last_context": outputs["context"], "last_residual": outputs["residual"], **kept}

    # Logits where their tokens stand; blocks of padding that were added here are cut off.
    start, end = (b.op("Slice", state.unpack(outputs[name]), np.array([0]), length, np.array([1])) for name in LOGITS)
    found = (start, end, state.dropped_after(), state.probability())
    for spec, value in zip(single_graph.output_specs(len(layers)), found, strict=True):
        b.output(spec, value)
    joined = ir.Model(b.graph, ir_version=IR_VERSION, producer_name="bskim-export")
    RemoveUnusedNodesPass()(joined)  # of what a layout gives, not every graph reads all
    return joined


def write_alone(folder: Path, manifest: Manifest) -> Manifest:
    """Write the graphs of one window beside those that they are made of, with which they share their weights.

    Args:
        folder: of the bundle
        manifest: its contents so far

    Returns:
        The manifest with the new graphs.
    """
    dense = ir.load(folder / manifest.dense.file)
    fit_to_one_window(dense)
    _write(dense, folder / single_graph.DENSE_FILE)
    inputs = single_graph.dense_input_specs(manifest.dense.inputs)
    manifest = replace(manifest, dense_alone=Graph(single_graph.DENSE_FILE, inputs, manifest.dense.outputs))
    layers = len(manifest.skim_layers)
    if not layers or manifest.split is not None:
        return manifest
    _write(make_skim_graph(manifest, lambda name: ir.load(folder / name)), folder / single_graph.FILE)
    single = Graph(single_graph.FILE, single_graph.input_specs(layers), single_graph.output_specs(layers))
    return replace(manifest, single=single)


def _write(model: ir.Model, path: Path) -> None:
    path.write_bytes(ir.to_proto(model).SerializeToString(deterministic=True))


def _before(b: Builder, end: ir.Value, ids: ir.Value, block_size: int) -> ir.Value:
    """Return bool [B, K, k], the positions before `end`, int64 [B]; ids: [B, K, k]."""
    count = b.op("Mul", b.size(ids, 1), block_size)
    position = b.op("Reshape", b.count_up(count), np.array([-1, block_size]))
    return b.op("Less", position, b.op("Unsqueeze", end, np.array([1, 2])))


def _behind_separator(b: Builder, ids: ir.Value, separator: tuple[int, int]) -> ir.Value:
    """Return int64 [B], the position behind the first separators; ids: [B, K, k]."""
    token, count = separator
    rows = b.op("Reshape", ids, b.shape(b.size(ids, 0), -1))
    first = b.op("ArgMax", b.number(b.op("Equal", rows, token)), axis=1, keepdims=0)
    return b.op("Add", first, count)
