"""bskim publish: a checkpoint as a Hugging Face directory, and a checkpoint or a bundle on the Hub."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bskim_export.commands.common import command, needs_extra
from bskim_export.commands.terminal import console
from bskim_export.commands.types import Named, OutputFolder
from bskim_export.errors import InputError

if TYPE_CHECKING:
    from bskim_export.bundle.bundle import Bundle


@command
@click.argument("model")
@click.argument("folder", type=OutputFolder(), required=False)
@click.option("--push", metavar="USER/REPO", help="Send it to the Hugging Face Hub, with a model card unless one is "
              "there. Log in with: hf auth login")  # fmt: skip
@click.option("--private", is_flag=True, help="With --push: nobody else sees a repository that is made.")
@click.option("--thresholds", "bundle", type=Named(), metavar="BUNDLE",
              help="Take the thresholds of this bundle, once bskim-calibrate has chosen them.")  # fmt: skip
@click.option("--half", is_flag=True, help="Store weights as fp16: half the size.")
def main(model: str, folder: Path | None, push: str | None, private: bool, bundle: Path | None, half: bool) -> None:
    """Write MODEL as the Hugging Face directory FOLDER, to be shared: safetensors, config.json and tokenizer.json. Or
    send it to the Hub; MODEL may be a bundle then, whose card holds its evidence.

    Whoever exports it gets the thresholds with it. transformers loads it as a plain question-answering model. FOLDER is
    new or empty, or holds a model that this command wrote.
    """
    from bskim_export.bundle.bundle import Bundle
    from bskim_export.bundle.manifest_file import MANIFEST

    if folder is None and push is None:
        raise InputError("Name a FOLDER to write, or a repository with --push USER/REPO.")
    if (Path(model) / MANIFEST).exists():
        if push is None or folder is not None or bundle is not None or half:
            raise InputError(f"'{model}' is a bundle: it can only be sent as it is, with --push USER/REPO.")
        _push_bundle(Bundle.open(model), push, private)
        return
    with needs_extra("export", "bskim publish"):
        from bskim_export.checkpoint.loading import load_checkpoint
        from bskim_export.checkpoint.model_folder import check_folder_is_ours
        from bskim_export.checkpoint.publishing import publish

    if folder is not None:
        check_folder_is_ours(folder)
    manifest = Bundle.open(bundle, verify=False).manifest if bundle else None
    thresholds = (manifest.thresholds, manifest.document_thresholds) if manifest else ()
    with tempfile.TemporaryDirectory() as place:
        written = folder or Path(place, "model")
        publish(load_checkpoint(model), written, half, *thresholds)
        size = (written / "model.safetensors").stat().st_size / 1e6
        if folder is not None:
            console.print(f"Wrote {folder}: {size:.0f} MB of weights.")
        if push is not None:
            _push_model(written, push, private)


def _push_bundle(bundle: "Bundle", push: str, private: bool) -> None:
    from bskim_export.bundle import hub
    from bskim_export.bundle.card import bundle_card

    card = bundle_card(push, bundle.manifest, bundle.read_report())
    console.print(f"Sent: {hub.push(bundle.folder, push, hub.FILES, card, private)}")


def _push_model(folder: Path, push: str, private: bool) -> None:
    from bskim_export.bundle import hub
    from bskim_export.bundle.card import model_card
    from bskim_export.checkpoint.model_folder import FILES

    console.print(f"Sent: {hub.push(folder, push, FILES, model_card(push), private)}")
