"""The command `bskim`: every subcommand, each imported only when it is called."""

from importlib import import_module

import click

from bskim_export.commands.common import SETTINGS, with_version
from bskim_export.commands.guard import GuardedGroup

USER_COMMANDS = {
    "export": "Split a model into stages, export them to ONNX, and measure their parity with PyTorch.",
    "train": "Train a model that skims, or give a trained one predictors.",
    "calibrate": "Choose a bundle's thresholds, with evidence.",
    "bench": "Measure a bundle on real questions.",
    "prepare": "Prepare documents with a split model, so that questions about them cost less.",
    "ask": "Answer a question about a passage, and show what was skimmed; or about prepared documents.",
    "serve": "Answer questions over HTTP.",
    "map": "Answer every row of a data set, on all cores of a machine or a cluster.",
    "highlight": "Measure how much text can be cut before what answers need is lost.",
    "view": "Write a page with every question of a data set, answered dense and skimming.",
    "publish": "Write a checkpoint as a Hugging Face directory, to share.",
    "compare": "Compare scores and MACs on a whole data set, dense and skimming, or of two bundles.",
    "paper": "Make tables of the paper anew, at whatever scale a machine allows.",
    "parity": "Count where a bundle on a backend and PyTorch disagree.",
}
MAINTAINER_COMMANDS = {
    "predictors": "Measure how well the predictors of a checkpoint know answers, layer by layer.",
    "risk-check": "Count on many splits of a data set how often a calibrated risk is exceeded.",
    "overhead": "Measure the cost of splitting into stages.",
    "scaling": "Measure whether saved MACs are saved time.",
    "document-cost": "Measure what the length of a text costs, and passages against one document.",
    "prepared-cost": "Measure questions to prepared documents, against a model that reads these anew.",
    "store-cost": "Measure a question to a large store of prepared documents.",
    "cold-start": "Measure a fresh process, from a bundle to its first answer.",
    "serve-bench": "Measure a service against its pipeline, and under too much load.",
    "gpu-bench": "Time a bundle or a published shape on a GPU, over batch sizes and lengths.",
    "kernel-cost": "Test and time the fused attention kernel.",
    "export-cost": "Measure the export of a model of a published shape.",
    "engine-cost": "Measure how long TensorRT-RTX takes to compile a bundle.",
}
COMMANDS = USER_COMMANDS | MAINTAINER_COMMANDS


class _Lazy(GuardedGroup):
    """A group whose help is made without importing any of its commands."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import a command. Returns None if there is none of that name."""
        if name not in COMMANDS:
            return None
        module = import_module(f"bskim_export.commands.{name.replace('-', '_')}")
        found: click.Command = module.main
        return found

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write both groups of commands into the help."""
        for title, commands in (("Commands", USER_COMMANDS), ("For maintainers", MAINTAINER_COMMANDS)):
            with formatter.section(title):
                formatter.write_dl(list(commands.items()))


@with_version
@click.group(cls=_Lazy, context_settings=SETTINGS)
def main() -> None:
    """Export Block-Skim question-answering models and run them without PyTorch."""
