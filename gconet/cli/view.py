"""Show the index.html of a folder of results in the browser.

    gconet view results/bikes

serves that folder, and nothing outside it, to this computer only, until Ctrl-C. You can also open the
page as a file, but the button that saves the chosen pictures needs to read them, and browsers allow that
only for a served page.

Exit status: 130 after Ctrl-C, 1 for failures, 2 for wrong arguments.
"""

import argparse
import threading
import webbrowser
from pathlib import Path

from gconet.applications.server import make_server
from gconet.cli import new_parser
from gconet.errors import ConfigError


def main() -> int:
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("folder", type=Path, metavar="FOLDER", help="the --output of another verb")
    add("--port", type=int, default=0, metavar="N", help="port (default: any free one)")
    yes_or_no = argparse.BooleanOptionalAction
    add("--browser", action=yes_or_no, default=True, help="open the browser (default: yes)")
    args = parser.parse_args()
    if not (args.folder / "index.html").is_file():
        raise ConfigError(
            f"{args.folder} has no index.html; give the --output of gconet maps, cutouts or thumbnails"
        )
    with make_server(args.folder, args.port) as server:
        address = f"http://127.0.0.1:{server.server_port}/"
        print(f"serving {args.folder} until you press Ctrl-C, at\n{address}", flush=True)
        if args.browser:  # in a thread: a browser in the terminal would not return
            threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()
        server.serve_forever()
    return 0
