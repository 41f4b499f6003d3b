"""bskim publish: a checkpoint as a Hugging Face directory."""

from pathlib import Path

import click

from bskim_export.commands.common import command, needs_extra
from bskim_export.commands.terminal import console
from bskim_export.commands.types import Named, OutputFolder


@command
@click.argument("model")
@click.argument("folder", type=OutputFolder())
@click.option("--thresholds", "bundle", type=Named(), metavar="BUNDLE",
              help="Take the thresholds of this bundle, once bskim-calibrate has chosen them.")  # fmt: skip
@click.option("--half", is_flag=True, help="Store weights as fp16: half the size.")
def main(model: str, folder: Path, bundle: Path | None, half: bool) -> None:
    """Write MODEL as the Hugging Face directory FOLDER, to be shared: safetensors, config.json and tokenizer.json.

    Whoever exports it gets the thresholds with it. transformers loads it as a plain question-answering model. FOLDER is
    new or empty, or holds a model that this command wrote.
    """
    with needs_extra("export", "bskim publish"):
        from bskim_export.checkpoint.loading import load_checkpoint
        from bskim_export.checkpoint.model_folder import check_folder_is_ours
        from bskim_export.checkpoint.publishing import publish
    from bskim_export.bundle.bundle import Bundle

    check_folder_is_ours(folder)
    manifest = Bundle.open(bundle, verify=False).manifest if bundle else None
    thresholds = (manifest.thresholds, manifest.document_thresholds) if manifest else ()
    publish(load_checkpoint(model), folder, half, *thresholds)
    size = (folder / "model.safetensors").stat().st_size / 1e6
    console.print(f"Wrote {folder}: {size:.0f} MB of weights.")
