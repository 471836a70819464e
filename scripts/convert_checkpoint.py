"""Convert a checkpoint of the authors' release to this project's format.

    python scripts/convert_checkpoint.py OFFICIAL.pth gconet.pt
    python test.py --checkpoint gconet.pt --images data/images/CoCA --output results/CoCA

The authors' file is a bare state dict of 142 M parameters. Only what inference needs (16.83 M) is written.
"""

from pathlib import Path

from gconet.cli import new_parser
from gconet.errors import run_command, say


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("official", type=Path, metavar="OFFICIAL.pth", help="the authors' file")
    parser.add_argument("ours", type=Path, metavar="OURS.pt", help="a new file to write")
    args = parser.parse_args()

    from gconet.official import convert_official  # here, so that --help does not wait for torch

    convert_official(args.official, args.ours)
    say(f"{args.ours}: {args.ours.stat().st_size / 1e6:.0f} MB, for test.py --checkpoint")
    return 0


if __name__ == "__main__":
    run_command(main)
