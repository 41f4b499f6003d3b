"""bskim-serve: questions over HTTP."""

import os
from pathlib import Path

import click

from bskim_export.commands.common import backend_options, command, needs_extra, threshold_option
from bskim_export.commands.terminal import loudness
from bskim_export.commands.types import Named, Real, Whole
from bskim_export.errors import InputError

WATCH = 2.0
"""Seconds between two looks at whether a bundle was replaced."""


@command
@click.argument("bundles", nargs=-1, metavar="[[NAME=]BUNDLE]...")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on; 0.0.0.0 for all.")
@click.option("--port", type=Whole(max=65535), default=8080, show_default=True, help="Where to "
              "listen; 0 for a free one. The first line on standard output says which.")  # fmt: skip
@click.option("--workers", type=Whole(min=1), default=1, show_default=True, help="Processes for each bundle, which "
              "share the port. One uses all cores.")  # fmt: skip
@click.option("--token-file", type=Named(), help="Callers must send the token in this file, as 'Authorization: "
              "Bearer TOKEN'.  [default: $BSKIM_TOKEN, if it is set]")  # fmt: skip
@click.option("--timeout", type=Real(0.01), default=60.0, show_default=True, metavar="SECONDS", help="For each "
              "request; after it, 504.")  # fmt: skip
@click.option("--max-wait", type=Real(0.001), default=5.0, show_default=True, metavar="SECONDS", help="A request that "
              "would wait longer is refused at once, with 429. Lower it to keep the slowest answers fast.")  # fmt: skip
@click.option("--max-requests", type=Whole(min=1), default=512, show_default=True, help="That wait or run at once; "
              "beyond, 429.")  # fmt: skip
@click.option("--max-body", type=Real(0.001), default=4.0, show_default=True, metavar="MB", help="Of a request; "
              "beyond, 413.")  # fmt: skip
@click.option("--max-windows", type=Whole(min=1), default=1024, show_default=True, help="Of a question, 175 words of "
              "its text or so each; beyond, 422.")  # fmt: skip
@threshold_option
@backend_options
def main(
    bundles: tuple[str, ...],
    host: str,
    port: int,
    workers: int,
    token_file: Path | None,
    timeout: float,
    max_wait: float,
    max_requests: int,
    max_body: float,
    max_windows: int,
    threshold: float | None,
    threads: int | None,
    precision: str,
    backend_name: str | None,
) -> None:
    """Answer questions from BUNDLE (default: engines/) over HTTP; several bundles each by a NAME.

    \b
    POST /              {"inputs": {"question": "Who?", "context": "Ada."}}, as Hugging Face's task
    POST /highlight     the sentences that matter
    /v2/...             KServe's Open Inference Protocol
    /metrics /info /healthz /readyz

    SIGTERM ends it once all have their answers. A bundle that is replaced is taken over.
    """
    with needs_extra("serve", "The service"):
        import prometheus_client  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    from bskim_export.backends.base import available_cores
    from bskim_export.bundle.bundle import Bundle
    from bskim_export.bundle.hub import is_hub_name
    from bskim_export.serve.app import make_app
    from bskim_export.serve.front import Front
    from bskim_export.serve.limits import Limits
    from bskim_export.serve.logs import log_as_json
    from bskim_export.serve.metrics import Metrics
    from bskim_export.serve.served import Served, ServedBundle
    from bskim_export.serve.service import bind, run

    limits = Limits(
        max_body=int(max_body * 1e6), max_windows=max_windows, timeout=timeout, max_wait=max_wait,
        max_requests=max_requests,
    )  # fmt: skip
    token = _read_token(token_file)
    if threads is None and workers > 1:
        threads = max(1, available_cores() // workers)
    arguments = {"threads": threads, "precision": precision, "backend": backend_name, "threshold": threshold}
    named = {}
    for name, path in map(_split, bundles or ("engines",)):
        if name in named:
            raise InputError(f"Two bundles are named '{name}'. Name them, as in new={path}.")
        opened = Bundle.open(path, verify=False)  # what is wrong with its name shows before anything starts
        served = opened.folder if is_hub_name(path) else Path(path).absolute()
        named[name] = ServedBundle(name, Served(served, arguments, workers), limits)
    metrics = Metrics(named)
    front = Front(named, limits, metrics)
    bound = bind(host, port)
    at = f"http://{f'[{host}]' if ':' in host else host}:{bound.getsockname()[1]}"
    log_as_json("warning" if loudness.quiet else "debug" if loudness.verbose else "info")
    run(front, make_app(front, token), bound, WATCH, lambda: click.echo(f"Listening on {at} for {', '.join(named)}."))


def _split(text: str) -> tuple[str, str]:
    """Return the name and the path of NAME=BUNDLE; without a name, that of the directory or of the repository."""
    name, equals, path = text.partition("=")
    if not equals or "/" in name:
        name, path = Path(text).absolute().name, text
    if not name or not path or "\0" in path:
        raise InputError(f"'{text}' names no bundle. Pass a directory, or NAME=DIRECTORY.")
    return name, path


def _read_token(path: Path | None) -> str | None:
    if path is None:
        return os.environ.get("BSKIM_TOKEN") or None
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The token cannot be read from '{path}': {error}") from None
    if not token:
        raise InputError(f"There is no token in '{path}'.")
    return token
