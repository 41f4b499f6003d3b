"""A small server that speaks the endpoints of the Hugging Face Hub which huggingface_hub calls, over a directory."""

import base64
import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit


class Hub:
    """Repositories in memory, each a list of commits: from names of files to their contents."""

    def __init__(self):
        self.commits: dict[str, list[dict[str, bytes]]] = {}
        self.asked: list[str] = []
        hub = self

        class Handler(_Handler):
            """Of this hub."""

            repositories = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def add(self, name: str, folder: Path) -> None:
        """Put what is in a directory into a repository, as a commit."""
        files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        self.commits.setdefault(name, []).append(files)

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()


def sha(name: str, number: int) -> str:
    """Return what a commit is called."""
    return hashlib.sha1(f"{name} {number}".encode()).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    repositories: Hub

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""

    def _find(self, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        commits = self.repositories.commits.get(name, [])
        for number, files in reversed(list(enumerate(commits))):
            if revision in ("main", sha(name, number)):
                return sha(name, number), files
        return None

    def _reply(self, status: int, content: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _json(self, content: object, status: int = 200) -> None:
        self._reply(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def do_GET(self) -> None:
        """Give a file, or what is known of a repository."""
        path = unquote(urlsplit(self.path).path)
        self.repositories.asked.append(path)
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            at = self._find(found[1], found[2] or "main")
            if at is None:
                self._reply(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            else:
                siblings = [{"rfilename": name} for name in at[1]]
                self._json({"id": found[1], "modelId": found[1], "sha": at[0], "siblings": siblings, "private": False,
                            "tags": [], "downloads": 0, "likes": 0})  # fmt: skip
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+).*", path):
            at = self._find(found[1], found[2])
            files = [] if at is None else [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in at[1].items()
            ]  # fmt: skip
            self._json(files)
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            at = self._find(found[1], found[2])
            if at is None or found[3] not in at[1]:
                self._reply(404, b"", {"X-Error-Code": "EntryNotFound" if at else "RepoNotFound"})
            else:
                content = at[1][found[3]]
                etag = hashlib.sha1(content).hexdigest()
                self._reply(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": at[0]})
        else:
            self._json({"error": path}, 404)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """Make a repository, or take a commit."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = urlsplit(self.path).path
        self.repositories.asked.append(path)
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'me'}/{asked['name']}"
            self.repositories.commits.setdefault(name, [{}])
            self._json({"url": f"{self.repositories.url}/{name}"})
        elif path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif re.fullmatch(r"/api/models/.+/preupload/main", path):
            files = json.loads(body)["files"]
            self._json({"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]})
        elif found := re.fullmatch(r"/api/models/(.+)/commit/main", path):
            commits = self.repositories.commits[found[1]]
            files = dict(commits[-1])
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            commits.append(files)
            oid = sha(found[1], len(commits) - 1)
            self._json({"commitUrl": f"{self.repositories.url}/{found[1]}/commit/{oid}", "commitOid": oid})
        else:
            self._json({"error": path}, 404)
