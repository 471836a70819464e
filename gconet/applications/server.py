"""Serves a folder of results, and nothing outside it, to browsers on this computer."""

import http.server
import io
import os
from functools import partial
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote_to_bytes, urlsplit

from gconet import __version__
from gconet.errors import ConfigError

# what a browser shows; it gets other files as bytes, so that none of them becomes a page
TYPES = {
    ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp",
    ".csv": "text/plain; charset=utf-8", ".json": "application/json",
}  # fmt: skip


def make_server(folder: Path, port: int = 0) -> http.server.ThreadingHTTPServer:
    """Make a server of `folder` on the loopback address, by default on a free port; raises ConfigError."""
    try:
        handler = partial(Handler, directory=os.path.realpath(folder))
        return http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except (OSError, OverflowError) as error:
        raise ConfigError(f"--port {port} cannot be used ({error}); omit it to use a free port") from None


class Handler(http.server.SimpleHTTPRequestHandler):
    """GET and HEAD of the files in a folder: no listings, no links that lead out of it."""

    server_version = f"gconet/{__version__}"

    def send_head(self) -> io.BytesIO | BinaryIO | None:
        assert isinstance(self.server, http.server.HTTPServer)
        port = self.server.server_port
        if self.headers.get("Host") not in (f"127.0.0.1:{port}", f"localhost:{port}"):
            self.send_error(403, "for this computer only")  # another site's name points here
            return None
        if self.path == "/favicon.ico":  # which browsers ask for
            self.send_response(204)
            self.end_headers()
            return None
        return super().send_head()

    def translate_path(self, path: str) -> str:
        """Return the requested file, or "" (no file) unless it is in the folder after following links."""
        name = os.fsdecode(unquote_to_bytes(urlsplit(path).path)).lstrip("/") or "index.html"
        try:
            file = Path(os.path.realpath(Path(self.directory) / name))
            return str(file) if file.is_relative_to(self.directory) and file.is_file() else ""
        except (OSError, ValueError):  # ValueError: a name with a zero byte
            return ""

    def guess_type(self, path: str | os.PathLike[str]) -> str:
        if Path(path) == Path(self.directory) / "index.html":
            return "text/html; charset=utf-8"
        return TYPES.get(Path(path).suffix.lower(), "application/octet-stream")

    def end_headers(self) -> None:
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a page of thousands of pictures would fill the terminal."""
