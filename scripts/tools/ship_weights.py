"""Make a weights file to ship: inference only, float16, with its digest next to it.

    python scripts/tools/ship_weights.py runs/release/last.pt gconet/weights/gconet.pt

Then describe the weights in gconet/weights/README.md and score them again: float16 changes the maps slightly.
"""

from pathlib import Path

from gconet.cli import new_parser
from gconet.errors import run_command


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="a checkpoint of train.py")
    parser.add_argument("weights", type=Path, metavar="WEIGHTS", help="a new file to write")
    args = parser.parse_args()

    from gconet.checkpoint import ship_weights  # here, so that --help does not wait for torch

    digest = ship_weights(args.checkpoint, args.weights)
    print(f"{args.weights}: {args.weights.stat().st_size / 1e6:.1f} MB, SHA-256 {digest}")
    return 0


if __name__ == "__main__":
    run_command(main)
