"""The commands, each imported only when it is called."""

from importlib import import_module

import click

import bskim_export

_COMMANDS = {
    "export": "Split a model into stages, export them to ONNX, and prove them against PyTorch.",
    "train": "Train a model that skims, or give a trained one predictors.",
    "calibrate": "Choose a bundle's thresholds, with evidence.",
    "bench": "Measure a bundle on real questions.",
    "ask": "Answer a question about a passage, and show what was skimmed.",
    "compare": "Compare scores and MACs on a whole data set, dense and skimming, or of two bundles.",
    "publish": "Write a checkpoint as a Hugging Face directory, to share.",
    "predictors": "Measure what the predictors of a checkpoint know, layer by layer.",
    "risk-check": "Check on many splits of a data set that calibrated risk holds.",
    "overhead": "Measure what splitting into stages costs.",
    "cold-start": "Measure a fresh process, from a bundle to its first answer.",
    "parity": "Count where a bundle on a backend and PyTorch disagree.",
    "gpu-bench": "Time a bundle or a published shape on a GPU, over batch sizes and lengths.",
    "kernel-cost": "Check and time the fused attention kernel.",
    "export-cost": "Measure the export of a model of a published shape.",
    "engine-cost": "Measure how long TensorRT-RTX takes to compile a bundle.",
}


class _Lazy(click.Group):
    def list_commands(self, context):
        return list(_COMMANDS)

    def get_command(self, context, name):
        return import_module(f"bskim_export.commands.{name.replace('-', '_')}").main if name in _COMMANDS else None

    def format_commands(self, context, formatter):
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(bskim_export.__version__)
def main():
    """Export Block-Skim question-answering models and run them without PyTorch."""
