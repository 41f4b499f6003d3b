"""The model card of a bundle: how it is used, what it is, and the evidence that it holds."""

import json
from collections.abc import Mapping
from typing import Any

from bskim_export.bundle.manifest import Manifest


def bundle_card(name: str, manifest: Manifest, report: Mapping[str, Any]) -> str:
    """Return the README.md of a repository that holds a bundle.

    Args:
        name: "user/repo"
        manifest: the bundle's
        report: its report.json
    """
    model = manifest.model
    rows = [
        ("model", f"{model.source} ({model.family}, {model.num_layers} layers of {model.hidden_size})"),
        ("precision", manifest.precision),
        ("windows", f"{manifest.defaults.max_seq_len} positions, {manifest.defaults.doc_stride} shared"),
        ("blocks", f"{model.block_size} positions; {model.predictor} predictors after layers {manifest.skim_layers}"),
        ("thresholds", _numbers(manifest.thresholds)),
    ]
    if manifest.document_thresholds:
        rows.append(("thresholds for documents", _numbers(manifest.document_thresholds)))
    parts = [
        _FRONT,
        f"# {name.split('/')[-1]}\n",
        "A bundle of bskim-export: a question-answering model that skips what does not matter, as ONNX graphs, "
        "weights, tokenizer and thresholds. It runs without PyTorch.\n",
        f'```python\nfrom bskim_export import QAPipeline\n\nqa = QAPipeline("{name}")\n'
        'qa(question="Who wrote it?", context="It was written by Ada Lovelace in 1843.")\n```\n',
        _table(("what", "value"), rows),
        "## Evidence\n",
    ]
    parts += _evidence(report) or ["This bundle holds none.\n"]
    parts.append("Made with " + ", ".join(f"{k} {v}" for k, v in sorted(manifest.versions.items())) + ".\n")
    return "\n".join(parts)


def model_card(name: str) -> str:
    """Return the README.md of a repository that holds a checkpoint.

    Args:
        name: "user/repo"
    """
    return "\n".join(
        [
            _FRONT.replace("- onnx\n", ""),
            f"# {name.split('/')[-1]}\n",
            "A question-answering model with Block-Skim predictors, whose thresholds are in config.json. transformers "
            "loads it as a plain model, which answers as the dense one does. To let it skim, export it:\n",
            f"    bskim-export {name} --out engines/\n    bskim-bench engines/ --dataset squad\n",
        ]
    )


_FRONT = """---
pipeline_tag: question-answering
library_name: bskim-export
tags:
- onnx
- block-skim
---
"""


def _evidence(report: Mapping[str, Any]) -> list[str]:
    titles = {
        "parity": "Compared with PyTorch before it was written",
        "calibration": "How the thresholds were chosen",
        "document_calibration": "How the thresholds for documents were chosen",
    }
    found = []
    for name, content in report.items():
        if isinstance(content, Mapping):
            simple = [(key, _value(value)) for key, value in content.items() if not isinstance(value, (Mapping, list))]
            if simple:
                found += [f"### {titles.get(name, name)}\n", _table(("figure", "value"), simple)]
    return found


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "|---|---|", *(f"| {_cell(a)} | {_cell(b)} |" for a, b in rows)]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def _value(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else json.dumps(value) if not isinstance(value, str) else value


def _numbers(thresholds: Mapping[int, float]) -> str:
    return ", ".join(f"{layer}: {value:.4g}" for layer, value in thresholds.items()) or "none"
