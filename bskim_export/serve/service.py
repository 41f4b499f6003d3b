"""Runs the application: opens its bundles, listens, and drains when it is told to end."""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from starlette.types import ASGIApp

from bskim_export.errors import BskimError, InputError
from bskim_export.serve.front import Front
from bskim_export.serve.protocol import timed

log = logging.getLogger("bskim_export.serve")

BACKLOG = 2048
"""Connections that may wait to be accepted."""

KEEP_ALIVE = 75
"""Seconds that a connection is kept for another request."""

SLACK = 5.0
"""Seconds beyond the time that a request may take to arrive, before its connection is closed without a word."""


def bind(host: str, port: int) -> socket.socket:
    """Return a socket on an address. Raises InputError: it cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        raise InputError(f"The address {host}:{port} cannot be had: {error.strerror or error}.") from None
    return bound


def run(front: Front, app: ASGIApp, bound: socket.socket, watch: float, ready: Callable[[], object]) -> None:
    """Serve until SIGTERM or SIGINT; requests that are there get their answers. SIGHUP takes over replaced bundles.

    Args:
        front: whose bundles are opened
        app: the application over it
        bound: where it listens
        watch: look for replaced bundles every so many seconds
        ready: called once it listens

    Raises:
        BskimError: a bundle cannot be opened.
    """
    factory = None
    with suppress(ImportError):  # uvloop does not exist everywhere
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serve(front, app, bound, watch, ready))


async def _serve(front: Front, app: ASGIApp, bound: socket.socket, watch: float, ready: Callable[[], object]) -> None:
    bundles = list(front.bundles.values())
    patience = front.limits.timeout
    try:
        opened = await asyncio.gather(*(bundle.open() for bundle in bundles), return_exceptions=True)
        for error in opened:
            if isinstance(error, BaseException):
                raise error
        background = [asyncio.create_task(bundle.watch(watch)) for bundle in bundles]
        reloading: set[asyncio.Task[bool]] = set()

        def reload() -> None:
            for bundle in bundles:
                task = asyncio.create_task(bundle.reload())
                reloading.add(task)
                task.add_done_callback(reloading.discard)

        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
        config = uvicorn.Config(
            app, http=timed(front.limits.body_timeout + SLACK), lifespan="off", access_log=False, log_config=None,
            backlog=BACKLOG, server_header=False, timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=int(patience) + 1,
        )  # fmt: skip
        server = _Server(config, ready)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: sys.exit(0))  # uvicorn raises the signal again once it has stopped
        try:
            await server.serve(sockets=[bound])
        finally:
            for task in background:
                task.cancel()
    except BskimError:
        patience = 0
        raise
    finally:
        await asyncio.gather(*(bundle.close(patience) for bundle in bundles))


class _Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], object]):
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        self._ready()
