"""A model hub on this machine: one data set out of a folder, over HTTP as the hub speaks it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class FakeHub:
    """What is served, and what was asked for: the files of one commit, while `main` may be another.

    `broken`: files of these names answer 404.
    """

    name: str
    folder: Path
    sha: str
    main: str = ""
    url: str = ""
    broken: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def entries(self, within: str = "", pattern: str = "**/*") -> list[dict[str, Any]]:
        """Files and folders under a folder, as the hub lists them."""
        found = []
        for path in sorted((self.folder / within).glob(pattern)):
            size = path.stat().st_size if path.is_file() else 0
            kind = "file" if path.is_file() else "directory"
            name = str(path.relative_to(self.folder))
            found.append({"type": kind, "oid": f"{size:040x}", "size": size, "path": name})
        return found

    def info(self, sha: str) -> dict[str, Any]:
        """The data set as the hub describes it at one commit."""
        siblings = [{"rfilename": e["path"]} for e in self.entries() if e["type"] == "file"]
        return {"_id": "0", "id": self.name, "sha": sha, "private": False, "gated": False, "disabled": False,
                "tags": [], "downloads": 0, "likes": 0, "siblings": siblings}  # fmt: skip


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve on a free port of this machine, for as long as the context lasts."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        api, files = f"/api/datasets/{self.hub.name}", f"/datasets/{self.hub.name}/resolve/{self.hub.sha}/"
        if path in (api, f"{api}/revision/main"):
            self._json(self.hub.info(self.hub.main or self.hub.sha))
        elif path == f"{api}/revision/{self.hub.sha}":
            self._json(self.hub.info(self.hub.sha))
        elif path.startswith(f"{api}/tree/{self.hub.sha}"):
            within = path.removeprefix(f"{api}/tree/{self.hub.sha}").strip("/")
            deep = parse_qs(urlsplit(self.path).query).get("recursive", ["false"])[0].lower() == "true"
            self._json(self.hub.entries(within, "**/*" if deep else "*"))
        elif path.startswith(files):
            self._file(path.removeprefix(files))
        else:
            self._missing()

    do_HEAD = do_GET  # noqa: N815 (as http.server asks)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
        wanted = json.loads(body)["paths"] if body.startswith("{") else parse_qs(body).get("paths", [])
        self.hub.asked.append(f"POST {self.path}")
        self._json([entry for entry in self.hub.entries() if entry["path"] in wanted])

    def _file(self, name: str) -> None:
        path = self.hub.folder / name
        if name in self.hub.broken or not path.is_file():
            self._missing()
            return
        data, first, last = path.read_bytes(), 0, None
        span = self.headers.get("Range", "").removeprefix("bytes=")
        if span:
            start, _, end = span.partition("-")
            first, last = int(start), int(end) if end else None
        piece = data[first : None if last is None else last + 1]
        self.send_response(206 if span else 200)
        if span:
            self.send_header("Content-Range", f"bytes {first}-{first + len(piece) - 1}/{len(data)}")
        self.send_header("ETag", f'"{len(data):040x}"')
        self.send_header("X-Repo-Commit", self.hub.sha)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(piece)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(piece)

    def _json(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _missing(self) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
