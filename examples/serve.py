"""The service of cpp/examples/http_service.cpp in Python: the same paths, the same JSON.

    pip install fastapi uvicorn
    python examples/serve.py engines/ --port 8000
    curl 127.0.0.1:8000/answer -H 'Content-Type: application/json' -d '{"question": "Who?", "context": "Ada was it."}'

For a service that is Python only, take embed_in_a_service.py: its answers are those of QAPipeline, unchanged.
"""

import argparse
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from bskim_export import BskimError, InputError, QAPipeline

HOST = "127.0.0.1"
LONGEST = 1 << 20  # bytes of a request
AT_ONCE = 4  # requests that compute at once; each needs memory of its own


class Passage(BaseModel):
    """What a retriever found."""

    model_config = ConfigDict(strict=True)
    text: str
    title: str = ""


class Asked(BaseModel):
    """A request. Options that are not given, or null, are the bundle's."""

    model_config = ConfigDict(extra="forbid", strict=True)
    question: str
    context: str | None = None
    passages: list[str | Passage] | None = None
    top_k: int | None = None
    doc_stride: int | None = None
    max_answer_len: int | None = None
    max_seq_len: int | None = None
    max_blocks: int | None = None
    window_scale: str | None = None
    handle_impossible_answer: bool | None = None


def ask(qa: QAPipeline, asked: Asked) -> dict[str, Any]:
    """Answer a request. Raises InputError if it cannot be."""
    if (asked.context is None) == (asked.passages is None):
        raise InputError("Pass either `context` or `passages`.")
    found = qa.run(**asked.model_dump(exclude_none=True))
    return {"answers": [with_bytes(one, asked) for one in (found if isinstance(found, list) else [found])]}


def with_bytes(answer: dict[str, Any], asked: Asked) -> dict[str, Any]:
    """Add an answer's place in bytes of the text's UTF-8, which is what programs in other languages cut by."""
    # The null answer is from no passage, and its places are 0 in any.
    whole = asked.context or "" if asked.passages is None else asked.passages[answer["passage"] or 0]
    text = whole if isinstance(whole, str) else whole.text
    start, end = (len(text[: answer[name]].encode()) for name in ("start", "end"))
    return {**answer, "start_byte": start, "end_byte": end}


def make_app(qa: QAPipeline) -> FastAPI:
    """Return the application. Its functions that are no coroutines run in a pool of threads."""
    app = FastAPI(title="Question answering")

    @app.post("/answer")
    def answer(asked: Asked) -> Any:
        return ask(qa, asked)

    @app.get("/healthz")
    def health() -> dict[str, str]:
        return {"backend": qa.backend.name}

    @app.middleware("http")
    async def limit(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        size = request.headers.get("content-length", "0")
        if "transfer-encoding" in request.headers or int(size) > LONGEST:
            return JSONResponse({"error": f"A request has a size, and at most {LONGEST} bytes."}, 413)
        return await go_on(request)

    @app.exception_handler(RequestValidationError)
    @app.exception_handler(HTTPException)
    @app.exception_handler(BskimError)  # all that a pipeline ever raises; its message names the problem and the remedy
    async def refuse(request: Request, error: Exception) -> JSONResponse:
        if isinstance(error, HTTPException):
            return JSONResponse({"error": error.detail}, error.status_code)
        if isinstance(error, RequestValidationError):
            return JSONResponse({"error": "; ".join(f"{one['msg']}: {one['loc']}" for one in error.errors())}, 400)
        return JSONResponse({"error": str(error)}, 400 if isinstance(error, InputError) else 500)

    return app


def main() -> None:
    """Serve until Ctrl-C or SIGTERM; requests that have begun end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle")
    parser.add_argument("--port", type=int, default=8000, help="0: a free one")
    given = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))  # uvicorn raises the signal again once it has stopped
    with QAPipeline(given.bundle, max_concurrency=AT_ONCE) as qa, socket.create_server((HOST, given.port)) as on:
        print(f"listening on {HOST}:{on.getsockname()[1]}", flush=True)
        uvicorn.Server(uvicorn.Config(make_app(qa), log_level="warning")).run(sockets=[on])


if __name__ == "__main__":
    main()
