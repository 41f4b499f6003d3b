"""Services that run as their users run them: `bskim-serve`, in a process of its own."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest


class Service:
    """A running service.

    url: where it listens
    process: the front
    """

    def __init__(self, url, process, log):
        self.url = url
        self.process = process
        self._log = log
        self.host = urlsplit(url).hostname
        self.port = urlsplit(url).port

    def call(self, path="/", body=None, method=None, headers=None, timeout=60):
        """Return the status, the headers and the content of a reply; JSON is read."""
        connection = HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
            connection.request(method or ("GET" if body is None else "POST"), path, raw, headers or {})
            reply = connection.getresponse()
            content = reply.read()
        finally:
            connection.close()
        kind = reply.headers.get("content-type", "")
        return reply.status, reply.headers, json.loads(content) if kind == "application/json" else content

    def ask(self, question, context, **parameters):
        """Return the answers to a question, which must be answered."""
        status, _, found = self.call(
            body={"inputs": {"question": question, "context": context}, "parameters": parameters}
        )
        assert status == 200, found
        return found

    def metric(self, name, **labels):
        """Return the value of a metric; 0 if it was not counted yet."""
        text = self.call("/metrics")[2].decode()
        for line in text.splitlines():
            found = re.match(r"(\w+)\{(.*)\} (\S+)", line)
            if found and found[1] == name and all(f'{k}="{v}"' in found[2] for k, v in labels.items()):
                return float(found[3])
        return 0.0

    def connect(self):
        """Return a socket to it."""
        return socket.create_connection((self.host, self.port), timeout=30)

    def workers(self):
        """Return the numbers of its worker processes."""
        return [int(pid) for pid in subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True, check=False
        ).stdout.split()]  # fmt: skip

    def stop(self):
        """Tell it to end. Returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def log(self):
        """Return the lines that it logged."""
        return [json.loads(line) for line in self._log.read_text().splitlines()]


def eventually(is_so, seconds=30):
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture(scope="session")
def serving(tmp_path_factory):
    """Return a function: arguments of bskim-serve -> a context with the running Service."""

    @contextmanager
    def start(*arguments):
        path = tmp_path_factory.mktemp("service") / "log"
        command = [sys.executable, "-m", "bskim_export.commands", "serve", "--port", "0", *map(str, arguments)]
        with open(path, "w") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            url = re.search(r"http://\S+", process.stdout.readline())
            assert url, path.read_text()
            yield Service(url[0], process, path)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(60)
            process.stdout.close()

    return start
