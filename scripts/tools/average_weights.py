"""Average the weights of checkpoints of one lineage, each trained from the one before.

    python scripts/tools/average_weights.py runs/a/last.pt runs/d/last.pt --output average.pt

Writes their mean, for inference or as `init=` of another run, with the settings of the last checkpoint.
"""

from pathlib import Path

from gconet.cli import new_parser
from gconet.errors import CheckpointError, run_command


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("checkpoints", nargs="+", type=Path, metavar="CHECKPOINT", help="two or more")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="a new file to write")
    args = parser.parse_args()
    if args.output.exists():
        raise CheckpointError(f"{args.output} exists; name another file")

    from gconet.checkpoint import load_model, load_state, save_checkpoint  # here: --help needs no torch

    model, config = load_model(args.checkpoints[-1])
    states = [load_model(path)[0].state_dict() for path in args.checkpoints]
    for path, state in zip(args.checkpoints, states, strict=True):
        load_state(model, state, path)  # raises CheckpointError for another architecture
    mean = {name: sum(state[name] for state in states) / len(states) for name in states[-1]}
    load_state(model, mean, args.output)
    save_checkpoint(args.output, config=config, model=model)
    print(f"{args.output}: the mean of {len(states)} checkpoints")
    return 0


if __name__ == "__main__":
    run_command(main)
