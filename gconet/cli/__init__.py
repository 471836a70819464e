"""The command `gconet`: one module per verb; test.py and scripts/ call the same functions."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from gconet import __version__
from gconet.applications.outputs import is_unfinished
from gconet.data.groups import SUFFIXES, list_others
from gconet.data.names import name_some
from gconet.errors import ConfigError, DataError, counted, note, one_line, run_command, say

MOST = 20  # skipped files that are listed one by one
VERBS = {
    "maps": "co-saliency maps of groups of pictures",
    "cutouts": "the common object cut out of every picture",
    "thumbnails": "crops from existing maps; for photographs: cutouts --thumbnails",
    "remember": "what pictures of an object have in common, as a file for --reference",
    "objects": "the names for --object",
    "score": "scores of maps against masks, as in the published tables",
    "figures": "the paper's figures for your own pictures",
    "export": "the network as an ONNX file",
}
USAGE = "usage: gconet VERB ...\n\n" + "\n".join(f"  {verb:12}{what}" for verb, what in VERBS.items())
USAGE += "\n\ngconet VERB --help shows its options; gconet --version.\n"
USAGE += "example: gconet cutouts photos/bikes --thumbnails"
EXIT = "exit status: 0 if all was done, 1 for failures and skipped files, 2 for wrong arguments"


class Parser(argparse.ArgumentParser):
    """Reports wrong arguments in one line, like all errors."""

    def error(self, message: str) -> NoReturn:
        wrong = message.rpartition(" ")[2]
        near = get_close_matches(wrong, self._option_string_actions, 1, cutoff=0.7)
        hint = f"; did you mean {near[0]}?" if near and near[0] != wrong else ""
        self.exit(2, f"error: {one_line(message)}{hint} ({self.prog} --help shows all options)\n")


def new_parser(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser whose help is the module's docstring, unchanged, and what the exit status means."""
    kind = argparse.RawDescriptionHelpFormatter
    parser = Parser(description=doc, epilog=EXIT, formatter_class=kind, allow_abbrev=False)
    parser.register("type", Path, parse_path)  # what type=Path calls
    return parser


def parse_path(text: str) -> Path:
    """Return the path; raises ArgumentTypeError if it is empty, which would mean the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("an empty path; give a file or a folder")
    return Path(text)


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Add --checkpoint, the option of every command that loads the network."""
    about = "a file of train.py or convert_checkpoint.py, or shipped weights: distractors (default) or paper"
    parser.add_argument("--checkpoint", default="pretrained", metavar="FILE", help=about)


def add_network(parser: argparse.ArgumentParser) -> None:
    """Add the options of every command that runs the network."""
    add_checkpoint(parser)
    about = "auto, cpu, or an accelerator as PyTorch calls it (default: %(default)s)"
    parser.add_argument("--device", default="auto", help=about)
    about = "auto uses bf16 or fp16 if the hardware computes it fast (default: %(default)s)"
    kinds = ("auto", "fp32", "tf32", "bf16", "fp16")
    parser.add_argument("--precision", default="auto", choices=kinds, help=about)


def load_predictor(args: argparse.Namespace, **options: Any) -> Any:
    """Return the Predictor that the options of `add_network` describe."""
    from gconet.inference.predictor import Predictor  # here: --help does not wait for PyTorch

    return Predictor.load(args.checkpoint, device=args.device, precision=args.precision, **options)


def note_unfinished(*folders: Path) -> None:
    """Say so if the maps in one of the folders are those of a run that did not end."""
    for folder in filter(is_unfinished, folders):
        note(f"{folder}: its run was interrupted or is not over; maps may be missing")


def report(said: Sequence[str], sources: Sequence[Path], errors: Sequence[DataError]) -> int:
    """Print what a command has `said`, now that all its files are written; returns the exit status. Names the
    files that could not be used, and those in the `sources` that do not have a picture's suffix."""
    if said:
        say(*said)  # if the reader has gone, this ends the command
    folders = [path for path in sources if path.is_dir()]
    if others := [str(path.relative_to(folder)) for folder in folders for path in list_others(folder)]:
        number, known = counted(len(others), "file"), ", ".join(SUFFIXES)
        note(f"{number} without a picture's suffix: {name_some(others)}; supported: {known}")
    for error in errors[:MOST]:
        print(f"skipped: {one_line(error)}", file=sys.stderr)
    if errors:
        more = f", {len(errors) - MOST} of them not listed here" if len(errors) > MOST else ""
        print(f"error: {counted(len(errors), 'file')} skipped{more}; fix or remove them", file=sys.stderr)
    return 1 if errors else 0


def main() -> int:
    """Run the verb on the command line and return its exit status."""
    verb = sys.argv[1] if len(sys.argv) > 1 else ""
    if verb in ("", "-h", "--help"):
        print(USAGE, file=sys.stdout if verb else sys.stderr)
        return 0 if verb else 2
    if verb == "--version":
        print(f"gconet {__version__}")
        return 0
    if verb not in VERBS:
        raise ConfigError(f"gconet {verb}: no such verb; choose from {', '.join(VERBS)}")
    sys.argv[:2] = [f"gconet {verb}"]  # argparse reads the program name from here
    status: int = importlib.import_module(f"gconet.cli.{verb}").main()
    return status


def run() -> None:
    """The entry point of the installed command."""
    run_command(main)
