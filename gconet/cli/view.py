"""Show a folder of results in the browser, as its index.html.

    gconet view results/bikes

serves that folder, and nothing outside it, to this computer only, until Ctrl-C. The page can be opened
without it too, as a file; but browsers let only a served page read its pictures, as the button that saves
the chosen ones has to.

Exit status: 130 after Ctrl-C, 1 for failures, 2 for wrong arguments.
"""

import argparse
import http.server
import io
import os
import threading
import webbrowser
from functools import partial
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote_to_bytes, urlsplit

from gconet import __version__
from gconet.errors import ConfigError

# what a browser shows; all else it gets as bytes, so that no other file of the folder becomes a page
TYPES = {
    ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp",
    ".csv": "text/plain; charset=utf-8",
}  # fmt: skip


def main() -> int:
    args = parse_args()
    if not (args.folder / "index.html").is_file():
        raise ConfigError(
            f"{args.folder} has no index.html; name the --output of gconet maps, cutouts or thumbnails"
        )
    with make_server(args.folder, args.port) as server:
        address = f"http://127.0.0.1:{server.server_port}/"
        print(f"{args.folder} is shown until you press Ctrl-C, at\n{address}", flush=True)
        if args.browser:  # in a thread: a browser in the terminal would not return
            threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()
        server.serve_forever()
    return 0


def make_server(folder: Path, port: int = 0) -> http.server.ThreadingHTTPServer:
    """A server of `folder` on the loopback address, by default on a free port; raises ConfigError."""
    try:
        handler = partial(Handler, directory=os.path.realpath(folder))
        return http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except (OSError, OverflowError) as error:
        raise ConfigError(f"--port {port} cannot be used ({error}); leave it out for a free one") from None


class Handler(http.server.SimpleHTTPRequestHandler):
    """GET and HEAD of the files in a folder: no listings, no links that lead out of it."""

    server_version = f"gconet/{__version__}"

    def send_head(self) -> io.BytesIO | BinaryIO | None:
        assert isinstance(self.server, http.server.HTTPServer)
        port = self.server.server_port
        if self.headers.get("Host") not in (f"127.0.0.1:{port}", f"localhost:{port}"):
            self.send_error(403, "for this computer only")  # another site's name that leads here
            return None
        if self.path == "/favicon.ico":  # which browsers ask for
            self.send_response(204)
            self.end_headers()
            return None
        name = os.fsdecode(unquote_to_bytes(urlsplit(self.path).path)).lstrip("/") or "index.html"
        try:
            path = Path(os.path.realpath(Path(self.directory) / name))
            if not (path.is_relative_to(self.directory) and path.is_file()):
                raise FileNotFoundError
            file = path.open("rb")
        except (OSError, ValueError):  # ValueError: a name with a zero byte
            self.send_error(404)
            return None
        page = path == Path(self.directory) / "index.html"
        kind = TYPES.get(path.suffix.lower(), "application/octet-stream")
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8" if page else kind)
        self.send_header("Content-Length", str(os.fstat(file.fileno()).st_size))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-cache")
        self.end_headers()
        return file

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a page of thousands of pictures would fill the terminal."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the --output of another verb")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="default: any free one")
    parser.add_argument(
        "--browser",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="open the browser (default: yes)",
    )
    return parser.parse_args()
