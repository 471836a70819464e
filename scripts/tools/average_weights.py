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
    states = [load_model(path)[0].state_dict() for path in args.checkpoints]
    for path, state in zip(args.checkpoints, states, strict=True):
        load_state(model, state, path)  # raises CheckpointError for another architecture
    mean = {
        name: sum(share * state[name] for share, state in zip(shares, states, strict=True)) / sum(shares)
        for name in states[-1]
    }
    load_state(model, mean, args.output)
    save_checkpoint(args.output, config=config, model=model)
    print(f"{args.output}: the mean of {len(states)} checkpoints")
    return 0


if __name__ == "__main__":
    run_command(main)
