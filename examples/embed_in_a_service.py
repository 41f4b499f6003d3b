"""A question-answering service on the standard library alone: JSON in, JSON out.

    python examples/embed_in_a_service.py engines/ --port 8000
    curl -d '{"question": "Who wrote it?", "context": "Ada Lovelace wrote it in 1843."}' http://127.0.0.1:8000/

One QAPipeline serves all requests. It may be called from several threads at once, and its engines share one pool of
threads, so a pipeline for each worker would only take memory.
"""

import argparse
import json
import signal
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from bskim_export import InputError, QAPipeline

LARGEST_REQUEST = 1 << 20  # bytes
OPTIONS = ("top_k", "max_answer_len", "handle_impossible_answer", "return_skim")
"""What a request may set beside "question" and "context"; see QAPipeline.run."""


class Handler(BaseHTTPRequestHandler):
    """Answers one request.

    POST any path: {"question", "context"} and some of OPTIONS -> {"answer", "score", "start", "end"}, or a list of
    them with top_k above 1. A request that cannot be answered gets 400 and {"error"}.
    """

    timeout = 30  # seconds, so that a client that sends nothing does not hold a thread for ever

    def __init__(self, qa: QAPipeline, *args: Any):
        self._qa = qa
        super().__init__(*args)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > LARGEST_REQUEST:
            self._discard(min(length, 8 * LARGEST_REQUEST))  # a client that is still sending would not read the answer
            self._send(413, {"error": f"A request has at most {LARGEST_REQUEST} bytes."})
            return
        try:
            request = json.loads(self.rfile.read(length))
        except ValueError as error:  # no JSON, or no UTF-8
            self._send(400, {"error": f"The body is not JSON: {error}"})
            return
        if not isinstance(request, dict):
            self._send(400, {"error": "The body should be an object with 'question' and 'context'."})
            return
        options = {name: request[name] for name in OPTIONS if name in request}
        try:
            answer = self._qa.run(question=request.get("question"), context=request.get("context"), **options)
        except InputError as error:  # its message names the problem and the remedy
            self._send(400, {"error": str(error)})
            return
        self._send(200, answer)

    def _discard(self, length: int) -> None:
        while length > 0 and (part := self.rfile.read(min(length, 1 << 16))):
            length -= len(part)

    def _send(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class PooledServer(HTTPServer):
    """A server with a fixed number of threads. Further requests wait for one, so that load does not cost memory."""

    def __init__(self, address: tuple[str, int], handler: Any, threads: int):
        super().__init__(address, handler)
        self._pool = ThreadPoolExecutor(threads)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Hand a request to a thread."""
        self._pool.submit(self._answer, request, client_address)

    def server_close(self) -> None:
        """Stop listening, and let the requests that have begun end."""
        super().server_close()
        self._pool.shutdown()

    def _answer(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except Exception:
            self.handle_error(request, client_address)
        finally:
            self.shutdown_request(request)


def main() -> None:
    """Open the bundle, and serve until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    parser.add_argument("--threads", type=int, default=4, help="requests that are answered at once")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    qa = QAPipeline(arguments.bundle)  # before the port opens: who connects is answered
    server = PooledServer((arguments.host, arguments.port), partial(Handler, qa), arguments.threads)
    print(f"Listening on http://{arguments.host}:{server.server_port}/", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print("Stopping", flush=True)
    finally:
        server.server_close()


if __name__ == "__main__":
    main()
