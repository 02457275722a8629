"""A mirror of weights: a folder served with ranges, that can be told to cut an answer in the middle."""

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self


class MirrorServer:
    """`files`: path to contents. `asked`: the paths and ranges so far. A context manager."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.asked = files, list[tuple[str, int, int]]()
        self.answers_ranges, self.cuts_left, self.seconds_a_range = True, 0, 0.0
        self.manifest: dict[str, Any] = {"files": [line(path, data) for path, data in files.items()]}
        self._pause = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}/tiny"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._pause.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def sha256(self) -> str:
        """Of the manifest as it is served."""
        return hashlib.sha256(self._manifest()).hexdigest()

    def write_to(self, folder: Path) -> None:
        """The same files in a folder of this machine."""
        for path, data in {**self.files, "manifest.json": self._manifest()}.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)

    def _manifest(self) -> bytes:
        return json.dumps(self.manifest).encode()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.removeprefix("/tiny/")
                data = mirror._manifest() if path == "manifest.json" else mirror.files.get(path)
                asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["range"] or "")
                if data is None:
                    self.send_error(404)
                elif asked and mirror.answers_ranges:
                    self._send(206, data[int(asked[1]) : int(asked[2]) + 1], path, int(asked[1]))
                else:
                    self._send(200, data, path, 0)

            def _send(self, status: int, data: bytes, path: str, begin: int) -> None:
                mirror.asked.append((path, begin, begin + len(data)))
                if path != "manifest.json":
                    mirror._pause.wait(mirror.seconds_a_range)
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                is_cut = mirror.cuts_left > 0 and begin > 0
                mirror.cuts_left -= is_cut
                self.wfile.write(data[: len(data) // 2] if is_cut else data)

            def log_message(self, *said: object) -> None:
                pass

        return Handler


def line(path: str, data: bytes) -> dict[str, Any]:
    """A file's line of the manifest."""
    return {"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
