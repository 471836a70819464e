"""The command `gconet`: one module a verb; test.py and scripts/ are doors to the same functions.

gconet maps photos/bikes
gconet cutouts --images photos/bikes --maps results/bikes --output cutouts
"""

import argparse
import importlib
import sys

from gconet import __version__
from gconet.errors import ConfigError, run_command

VERBS = {
    "maps": "co-saliency maps of groups of pictures",
    "cutouts": "the common object cut out of every picture",
    "thumbnails": "every picture cropped to the common object",
    "score": "maps against masks, as the published tables do",
    "figures": "the paper's figures, of your own pictures",
    "view": "a folder of results in the browser",
    "export": "the network as an ONNX file",
}
USAGE = "usage: gconet VERB ...\n\n" + "\n".join(f"  {verb:12}{what}" for verb, what in VERBS.items())
USAGE += "\n\ngconet VERB --help shows its options; gconet --version.\n"
USAGE += "example: gconet cutouts photos/bikes --output results/bikes --thumbnails"


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """The option --checkpoint of every command that runs the network."""
    parser.add_argument(
        "--checkpoint",
        default="pretrained",
        metavar="FILE",
        help="a checkpoint of train.py or convert_checkpoint.py, or the name of shipped weights: "
        "distractors (default) or paper",
    )


def main() -> int:
    """Run the verb that the command line names; returns its exit status."""
    if len(sys.argv) < 2:
        print(USAGE, file=sys.stderr)
        return 2
    verb = sys.argv[1]
    if verb in ("-h", "--help"):
        print(USAGE)
        return 0
    if verb == "--version":
        print(f"gconet {__version__}")
        return 0
    if verb not in VERBS:
        raise ConfigError(f"gconet {verb}: no such verb; there are {', '.join(VERBS)}")
    sys.argv[:2] = [f"gconet {verb}"]  # argparse takes its program's name from here
    status: int = importlib.import_module(f"gconet.cli.{verb}").main()
    return status


def run() -> None:
    """The entry point of the installed command."""
    run_command(main)
