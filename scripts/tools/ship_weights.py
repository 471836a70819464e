"""Make a weights file to ship, or to start from with init=: inference only, float16.

    python scripts/tools/ship_weights.py runs/release/last.pt --output gconet/weights/gconet.pt
    python scripts/tools/ship_weights.py runs/a/last.pt runs/d/last.pt --shares 3 1 --output mean.pt

Of several checkpoints, each trained from the previous one, it writes the weighted mean, with the last one's
settings. To ship it, enter the file and the digest that this prints in PRETRAINED of gconet/checkpoint.py,
describe the weights in gconet/weights/README.md, and score them: float16 changes the maps slightly.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gconet.cli import new_parser
from gconet.errors import ConfigError, run_command
from gconet.files import check_files


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("checkpoints", nargs="+", type=Path, metavar="CHECKPOINT", help="of train.py")
    parser.add_argument("--shares", nargs="+", type=int, metavar="N", help="weight of each (default: equal)")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="a new file to write")
    args = parser.parse_args()
    shares = args.shares or [1] * len(args.checkpoints)
    if len(shares) != len(args.checkpoints) or min(shares) < 1:
        raise ConfigError(f"--shares: give {len(args.checkpoints)} whole numbers of 1 or more")
    print(f"{args.output}: SHA-256 {ship_weights(args.checkpoints, shares, args.output)}")
    return 0


def ship_weights(sources: Sequence[Path], shares: Sequence[int], target: Path) -> str:
    """Write the mean of `sources` as float16 weights, without the folders in the last one's settings; returns
    the file's SHA-256. Raises CheckpointError if architectures differ or float16 cannot hold a value."""
    # here, so that --help does not wait for torch
    from gconet.checkpoint import digest, load_model, load_state, save_checkpoint

    check_files([target])
    model, config = load_model(sources[-1])
    mean: dict[str, Any] = dict.fromkeys(model.state_dict(), 0)
    for path, share in zip(sources, shares, strict=True):
        load_state(model, load_model(path)[0].state_dict(), path)  # raises if the architecture differs
        mean = {name: mean[name] + share * value for name, value in model.state_dict().items()}
    half = {name: (total / sum(shares)).half() for name, total in mean.items()}
    load_state(model.half(), half, sources[-1])  # raises if float16 cannot represent a value
    episodes, init = (path and Path(path).name for path in (config.data.episodes, config.init))
    data = replace(config.data, root="data", episodes=episodes)
    encoder = replace(config.encoder, weights=Path(config.encoder.weights).name)
    save_checkpoint(target, config=replace(config, data=data, encoder=encoder, init=init), model=model)
    return digest(target)


if __name__ == "__main__":
    run_command(main)
