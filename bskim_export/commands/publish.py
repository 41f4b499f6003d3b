"""bskim publish: a checkpoint as a Hugging Face directory."""

from pathlib import Path

import click

from bskim_export.commands.common import command, console, needs_extra


@command
@click.argument("model")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--thresholds", "bundle", type=click.Path(path_type=Path), metavar="BUNDLE",
              help="Take the thresholds of this bundle, once bskim-calibrate has chosen them.")  # fmt: skip
@click.option("--half", is_flag=True, help="Store weights as fp16: half the size.")
def main(model: str, folder: Path, bundle: Path | None, half: bool) -> None:
    """Write MODEL as the Hugging Face directory FOLDER, to be shared: safetensors, config.json and tokenizer.json.

    Whoever exports it gets the thresholds with it. transformers loads it as a plain question-answering model.
    """
    with needs_extra("export", "bskim publish"):
        from bskim_export.checkpoint.loading import load_checkpoint
        from bskim_export.checkpoint.publishing import publish
    from bskim_export.bundle.bundle import Bundle

    thresholds = Bundle.open(bundle, verify=False).thresholds if bundle else None
    publish(load_checkpoint(model), folder, half, thresholds)
    size = (folder / "model.safetensors").stat().st_size / 1e6
    console.print(f"Wrote {folder}: {size:.0f} MB of weights.")
