"""A question-answering service with FastAPI: JSON in, JSON out.

    pip install fastapi uvicorn
    python examples/embed_in_a_service.py engines/ --port 8000
    curl http://127.0.0.1:8000/answer -H 'Content-Type: application/json' \\
        -d '{"question": "Who wrote it?", "context": "Ada Lovelace wrote it in 1843."}'

One QAPipeline serves all requests: it may be called from several threads at once. FastAPI runs `answer` in a pool of
threads, because it is no coroutine: the event loop stays free while engines compute.
"""

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from bskim_export import BskimError, InputError, QAPipeline

LONGEST = 1 << 20  # characters of a context


class Asked(BaseModel):
    """A request. FastAPI refuses what does not fit with status 422 and says which field is wrong."""

    model_config = ConfigDict(extra="forbid")

    question: str = Field(min_length=1, max_length=4000)
    context: str = Field(min_length=1, max_length=LONGEST)
    top_k: int = Field(1, ge=1, le=100)
    max_answer_len: int | None = Field(None, ge=1, le=500)
    handle_impossible_answer: bool = False
    return_skim: bool = False


def make_app(bundle: str, max_concurrency: int) -> FastAPI:
    """Return the application. It opens its bundle when its worker starts: in the process that answers, after a fork."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with QAPipeline(bundle, max_concurrency=max_concurrency) as qa:
            qa.warm_up()
            app.state.qa = qa
            yield

    app = FastAPI(title="Question answering", lifespan=lifespan)

    @app.post("/answer")
    def answer(asked: Asked, request: Request) -> Any:
        return request.app.state.qa.run(**asked.model_dump())

    @app.get("/healthz")
    def health(request: Request) -> dict[str, str]:
        return {"pipeline": repr(request.app.state.qa)}

    @app.exception_handler(InputError)  # its message names the problem and the remedy
    async def refuse(request: Request, error: InputError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, status_code=400)

    @app.exception_handler(BskimError)  # all that a pipeline ever raises
    async def fail(request: Request, error: BskimError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, status_code=500)

    return app


def main() -> None:
    """Serve until Ctrl-C or SIGTERM; requests that have begun end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--at-once", type=int, default=4, help="requests that compute at once; each needs memory")
    arguments = parser.parse_args()
    uvicorn.run(make_app(arguments.bundle, arguments.at_once), host=arguments.host, port=arguments.port)


if __name__ == "__main__":
    main()
