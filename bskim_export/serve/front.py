"""What all ways of asking have in common: bounded bodies, deadlines, callers that hang up, errors as status codes."""

import asyncio
import json
import math
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from bskim_export.errors import BskimError
from bskim_export.serve.limits import BusyError, Limits
from bskim_export.serve.metrics import Metrics
from bskim_export.serve.served import ServedBundle

_T = TypeVar("_T")

STATUS = {"input": 422, "large": 413, "busy": 429, "bundle": 500, "internal": 500}
"""Of the errors that workers tell of; see `wire.KINDS`."""

GONE = 499
"""Status, in logs and metrics only, of a request whose caller hung up."""


class StatusError(BskimError):
    """A request that gets no answer.

    Args:
        status: the HTTP status code
        message: says what is wrong and what to do
        retry_after: seconds after which another try makes sense
    """

    def __init__(self, status: int, message: str, retry_after: float | None = None):
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


def to_json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a response of JSON, in ASCII: what lone surrogates a text has are answered as they came."""
    text = json.dumps(content, separators=(",", ":"))
    return Response(text, status, headers, media_type="application/json")


def to_error(error: StatusError) -> Response:
    """Return the response that says why there is no answer."""
    headers = {} if error.retry_after is None else {"Retry-After": str(max(1, math.ceil(error.retry_after)))}
    if error.status in (408, 413):
        headers["Connection"] = "close"  # what is left of the body is not read
    return to_json({"error": str(error)}, error.status, headers)


async def read_body(request: Request, limits: Limits) -> bytes:
    """Return the body of a request. Raises StatusError: it is too large, or too slow."""
    refusal = StatusError(413, f"The request is larger than {limits.max_body} bytes, which is what this service takes.")
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > limits.max_body:
        raise refusal
    parts = []
    size = 0
    try:
        async with asyncio.timeout(limits.body_timeout):
            async for part in request.stream():
                size += len(part)
                if size > limits.max_body:
                    raise refusal
                parts.append(part)
    except TimeoutError:
        raise StatusError(408, f"The request did not arrive within {limits.body_timeout:g} seconds.") from None
    except ClientDisconnect:
        raise StatusError(GONE, "The caller hung up.") from None
    return b"".join(parts)


def read_json(body: bytes) -> dict[str, Any]:
    """Return the object that a body holds. Raises StatusError: it holds none."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise StatusError(400, f"The request is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise StatusError(422, f"The request must be a JSON object, got {type(found).__name__}.")
    return found


@dataclass(frozen=True)
class Front:
    """Asks bundles for callers.

    bundles: by their names; the first one answers where none is named
    """

    bundles: dict[str, ServedBundle]
    limits: Limits
    metrics: Metrics

    def bundle(self, name: str | None = None) -> ServedBundle:
        """Return the bundle of a name, or the first one. Raises StatusError: there is none."""
        if name is None:
            return next(iter(self.bundles.values()))
        if name not in self.bundles:
            raise StatusError(404, f"There is no bundle '{name:.60}' here, but {', '.join(self.bundles)}.")
        return self.bundles[name]

    async def ask(self, request: Request, bundle: ServedBundle, task: str, inputs: Any, parameters: Any) -> Any:
        """Return what a bundle answers.

        Args:
            request: whose body was read
            task, inputs, parameters: see `requests.make_job`

        Raises:
            StatusError: there is no answer.
        """
        start = time.perf_counter()
        status = 200
        try:
            size = int(request.headers.get("content-length") or 0)
            message = await self._while_connected(request, bundle.ask(task, inputs, parameters, size))
            if "error" in message:
                raise StatusError(STATUS[message["kind"]], message["error"], message.get("seconds"))
            self.metrics.ran(bundle.name, message["tally"])
            request.state.windows = message["tally"]["windows"]
            return message["result"]
        except StatusError as error:
            status = error.status
            raise
        finally:
            self.metrics.answered(bundle.name, task, status, time.perf_counter() - start)

    async def _while_connected(self, request: Request, work: Coroutine[Any, Any, _T]) -> _T:
        working = asyncio.ensure_future(work)
        listening = asyncio.ensure_future(_hung_up(request))
        try:
            done, _ = await asyncio.wait(
                {working, listening}, timeout=self.limits.timeout, return_when=asyncio.FIRST_COMPLETED
            )
            if working in done:
                return working.result()
            if listening in done:
                raise StatusError(GONE, "The caller hung up.")
            raise StatusError(
                504, f"There was no answer within {self.limits.timeout:g} seconds. Ask for less, or later."
            )
        except StatusError:
            raise
        except BusyError as error:
            raise StatusError(429, str(error), error.seconds) from None
        except BskimError as error:
            raise StatusError(503, str(error), 1.0) from None
        finally:
            for task in (working, listening):
                task.cancel()


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
