"""bskim-bench --peers: what else runs the dense model on a CPU."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bskim_export.commands.common import needs_extra
from bskim_export.commands.terminal import console, note

if TYPE_CHECKING:
    from bskim_export.bench.rows import Row

NAMES = ("torch", "torch-compile", "onnxruntime", "openvino", "optimum", "ctranslate2")


def parse_peers(context: click.Context, parameter: click.Parameter, value: str | None) -> list[str] | None:
    """Read "all" or "torch,openvino" as names of peers."""
    if value is None:
        return None
    names = list(NAMES) if value == "all" else value.split(",")
    if unknown := [name for name in names if name not in NAMES]:
        raise click.BadParameter(f"there is no peer '{unknown[0]}'. Choose 'all', or some of {', '.join(NAMES)}.")
    return list(dict.fromkeys(names))


@contextmanager
def peer_rows(
    names: Sequence[str], checkpoint: Path, dense: "Row", threads: int, on_note: Callable[[str], None]
) -> Iterator[list["Row"]]:
    """Yield the rows of peers that run a checkpoint; of those that cannot be had, say why.

    Args:
        dense: the row that they are compared with
    """
    with needs_extra("peers", "Running peers"):
        from bskim_export.bench.peers import PeerRunner, Source, open_peers
    from bskim_export.bench.rows import Row

    if not (checkpoint / "config.json").is_file():
        raise click.BadParameter(
            f"'{checkpoint}' is no checkpoint: it has no config.json. Peers read directories of Hugging Face; "
            "`bskim publish` writes one from a .pt file.",
            param_hint="'--model'",
        )
    with tempfile.TemporaryDirectory() as folder:
        source = Source(checkpoint, Path(folder), threads)
        found = open_peers(names, source, on_note, lambda name: note(f"Making {name} ..."))
        model = dense.answerer.runner.model
        yield [Row(peer.name, replace(dense.answerer, runner=PeerRunner(peer, model))) for peer in found]


def show_fastest(rows: Sequence[dict[str, Any]]) -> None:
    """Print skimming against the fastest dense way of the table, which may be a peer."""
    from bskim_export.bench.rows import F1_LEEWAY, fastest_dense

    skims = [row for row in rows if row["name"] == "skim"]
    for key, when in (("speedup_time", "one at a time"), ("speedup_time_batched", "many at once")):
        best = fastest_dense(rows, key)
        for skim in skims:
            console.print(
                f"{when}: the fastest dense way with an F1 of at most {F1_LEEWAY} less is '{best['name']}'; skimming "
                f"is {skim[key] / best[key]:.2f} times as fast.",
                highlight=False,
            )
