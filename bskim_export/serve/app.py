"""The HTTP service: two contracts, and what those who run it look at.

POST /                          Hugging Face's question-answering task; /models/{name} for one of several bundles
POST /highlight                 the sentences that matter; /models/{name}/highlight
/v2/...                         KServe's Open Inference Protocol; see kserve.py
GET  /healthz /readyz /info /metrics
GET  /                          the page
"""

import hmac
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

import bskim_export
from bskim_export.serve import kserve
from bskim_export.serve.front import Front, StatusError, read_body, read_json, to_error, to_json

log = logging.getLogger("bskim_export.serve")

OPEN = ("/healthz", "/readyz", "/v2/health/live", "/v2/health/ready")
"""Paths that need no token, and are not logged."""

STATIC = Path(__file__).parent / "static"
PARTS = {"index.html": "text/html", "style.css": "text/css", "page.js": "text/javascript"}
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
"""The page runs what this service sends and nothing else, and asks nobody else."""

Handler = Callable[[Request], Awaitable[Response]]


def make_app(front: Front, token: str | None = None) -> Starlette:
    """Return the application.

    Args:
        front: asks the bundles
        token: that callers must send as "Authorization: Bearer TOKEN"; None asks for none
    """
    app = Starlette(
        routes=_Service(front).routes(),
        exception_handlers={StatusError: _refuse, HTTPException: _refuse_http, Exception: _fail},
    )
    app.add_middleware(_Watched, token=token)
    return app


class _Service:
    """The handlers of all paths."""

    def __init__(self, front: Front):
        self._front = front

    def routes(self) -> list[Route]:
        """Return what is handled."""
        post: list[tuple[str, Handler]] = [
            ("/", self.answer), ("/models/{bundle}", self.answer), ("/highlight", self.highlight),
            ("/models/{bundle}/highlight", self.highlight), ("/v2/models/{bundle}/infer", self.infer),
            ("/v2/models/{bundle}/versions/{version}/infer", self.infer),
        ]  # fmt: skip
        get: list[tuple[str, Handler]] = [
            ("/healthz", self.healthy), ("/readyz", self.ready), ("/info", self.info), ("/metrics", self.metrics),
            ("/v2", self.server), ("/v2/health/live", self.healthy), ("/v2/health/ready", self.ready),
            ("/v2/models/{bundle}", self.model), ("/v2/models/{bundle}/ready", self.model_ready),
            ("/v2/models/{bundle}/versions/{version}", self.model),
            ("/v2/models/{bundle}/versions/{version}/ready", self.model_ready), ("/", self.page),
            ("/static/{name}", self.page),
        ]  # fmt: skip
        return [
            *(Route(path, handler, methods=["POST"]) for path, handler in post),
            *(Route(path, handler, methods=["GET"]) for path, handler in get),
        ]

    async def answer(self, request: Request) -> Response:
        """Answer questions in the words of Hugging Face's task."""
        return await self._ask(request, "answer")

    async def highlight(self, request: Request) -> Response:
        """Return the sentences that matter."""
        return await self._ask(request, "highlight")

    async def _ask(self, request: Request, task: str) -> Response:
        bundle = self._front.bundle(request.path_params.get("bundle"))
        body = read_json(await read_body(request, self._front.limits))
        unknown = [name for name in body if name not in ("inputs", "parameters", "options")]
        if unknown or "inputs" not in body:
            raise StatusError(
                422, "The request must be an object with 'inputs' and perhaps 'parameters'" +
                (f", it has '{unknown[0]:.60}'." if unknown else ".")
            )  # fmt: skip
        return to_json(await self._front.ask(request, bundle, task, body["inputs"], body.get("parameters")))

    async def infer(self, request: Request) -> Response:
        """Answer questions in the words of the Open Inference Protocol."""
        bundle = self._front.bundle(request.path_params["bundle"])
        self._check_version(request)
        text, binary = kserve.split_body(
            await read_body(request, self._front.limits), request.headers.get(kserve.HEADER)
        )
        asked = read_json(text)
        questions, parameters = kserve.read_request(asked, binary)
        results = await self._front.ask(request, bundle, "answer", questions, parameters)
        top_k = parameters.get("top_k") or 1
        version = bundle.info.get("version", "1")
        content, length = kserve.write_response(bundle.name, version, asked, results, top_k)
        if length is None:
            return Response(content, media_type="application/json")
        return Response(content, media_type="application/octet-stream", headers={kserve.HEADER: str(length)})

    def _check_version(self, request: Request) -> None:
        wanted = request.path_params.get("version")
        held = self._front.bundle(request.path_params["bundle"]).info.get("version")
        if wanted is not None and wanted != held:
            raise StatusError(404, f"The version of this bundle is {held}, not '{wanted:.60}'.")

    async def page(self, request: Request) -> Response:
        """Return the page, or a part of it."""
        name = request.path_params.get("name", "index.html")
        if name not in PARTS:
            raise HTTPException(404)
        return Response((STATIC / name).read_bytes(), media_type=PARTS[name], headers=PAGE_HEADERS)

    async def healthy(self, request: Request) -> Response:
        """Say that the service runs."""
        return to_json({"live": True})

    async def ready(self, request: Request) -> Response:
        """Say whether every bundle can answer."""
        missing = [bundle.name for bundle in self._front.bundles.values() if not bundle.ready]
        return to_json({"ready": not missing}, 503 if missing else 200)

    async def model_ready(self, request: Request) -> Response:
        """Say whether one can."""
        bundle = self._front.bundle(request.path_params["bundle"])
        self._check_version(request)
        return to_json({"name": bundle.name, "ready": bundle.ready}, 200 if bundle.ready else 503)

    async def info(self, request: Request) -> Response:
        """Tell of the bundles and the limits."""
        return to_json(
            {
                "version": bskim_export.__version__,
                "bundles": {bundle.name: bundle.info for bundle in self._front.bundles.values()},
                "limits": vars(self._front.limits),
            }
        )

    async def metrics(self, request: Request) -> Response:
        """Return what was counted."""
        return Response(self._front.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def server(self, request: Request) -> Response:
        """Tell of the service in the words of the Open Inference Protocol."""
        extensions = ["binary_tensor_data"]
        return to_json({"name": "bskim", "version": bskim_export.__version__, "extensions": extensions})

    async def model(self, request: Request) -> Response:
        """Tell of a bundle in the words of the Open Inference Protocol."""
        bundle = self._front.bundle(request.path_params["bundle"])
        self._check_version(request)
        return to_json(kserve.describe(bundle.name, bundle.info.get("version", "1")))


class _Watched:
    """Asks for the token, and writes a line for each request."""

    def __init__(self, app: ASGIApp, token: str | None):
        self._app = app
        self._expected = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        status = 0
        scope.setdefault("state", {})

        async def note(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if self._refused(scope):
                error = to_json({"error": "A token is needed: 'Authorization: Bearer TOKEN'."}, 401,
                                {"WWW-Authenticate": "Bearer"})  # fmt: skip
                await error(scope, receive, note)
            else:
                await self._app(scope, receive, note)
        finally:
            if scope["path"] not in OPEN:
                windows = scope["state"].get("windows")
                log.info(
                    "%s %s", scope["method"], scope["path"],
                    extra={"status": status, "seconds": round(time.perf_counter() - start, 4)} | (
                        {} if windows is None else {"windows": windows}
                    ),
                )  # fmt: skip

    def _refused(self, scope: Scope) -> bool:
        path = scope["path"]
        if self._expected is None or path in OPEN or path.startswith("/static/"):
            return False
        if path == "/" and scope["method"] == "GET":  # the page asks for the token
            return False
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        return not hmac.compare_digest(given, self._expected)


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, StatusError)
    return to_error(error)


async def _refuse_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return to_json({"error": error.detail}, error.status_code, dict(error.headers or {}))


async def _fail(request: Request, error: Exception) -> Response:
    return to_json({"error": "The service failed. Its log says why."}, 500)
