"""Average the weights of a series of checkpoints, each trained from the previous one.

    python scripts/tools/average_weights.py runs/a/last.pt runs/d/last.pt --shares 3 1 --output average.pt

Writes their weighted mean, for inference or as `init=` of another run; the settings are the last one's.
"""

from pathlib import Path

from gconet.cli import new_parser
from gconet.errors import ConfigError, run_command
from gconet.files import check_files


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("checkpoints", nargs="+", type=Path, metavar="CHECKPOINT", help="two or more")
    parser.add_argument("--shares", nargs="+", type=int, metavar="N", help="weight of each (default: equal)")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="a new file to write")
    args = parser.parse_args()
    check_files([args.output])
    shares = args.shares or [1] * len(args.checkpoints)
    if len(shares) != len(args.checkpoints) or min(shares) < 1:
        raise ConfigError(f"--shares: give {len(args.checkpoints)} whole numbers of 1 or more")

    from gconet.checkpoint import load_model, load_state, save_checkpoint  # here: --help needs no torch

    model, config = load_model(args.checkpoints[-1])
    mean = dict.fromkeys(model.state_dict(), 0.0)
    for path, share in zip(args.checkpoints, shares, strict=True):
        load_state(model, load_model(path)[0].state_dict(), path)  # raises if the architecture differs
        mean = {name: mean[name] + share * value for name, value in model.state_dict().items()}
    load_state(model, {name: total / sum(shares) for name, total in mean.items()}, args.output)
    save_checkpoint(args.output, config=config, model=model)
    print(f"{args.output}: the mean of {len(shares)} checkpoints")
    return 0


if __name__ == "__main__":
    run_command(main)
