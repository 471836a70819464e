"""Make a weights file to ship: inference only, float16.

    python scripts/tools/ship_weights.py runs/release/last.pt gconet/weights/gconet.pt

Then enter the file and the digest that this prints in PRETRAINED of gconet/checkpoint.py, describe the
weights in gconet/weights/README.md, and score them again: float16 changes the maps slightly.
"""

from dataclasses import replace
from pathlib import Path

from gconet.cli import new_parser
from gconet.errors import CheckpointError, run_command
from gconet.files import check_files


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="a checkpoint of train.py")
    parser.add_argument("weights", type=Path, metavar="WEIGHTS", help="a new file to write")
    args = parser.parse_args()
    print(f"{args.weights}: SHA-256 {ship_weights(args.checkpoint, args.weights)}")
    return 0


def ship_weights(source: Path, target: Path) -> str:
    """Write `source` as float16 weights, without the folders in its settings; returns the file's SHA-256."""
    from gconet.checkpoint import digest, load_model, save_checkpoint  # here: --help needs no torch

    check_files([target])
    model, config = load_model(source)
    episodes, init = (path and Path(path).name for path in (config.data.episodes, config.init))
    data = replace(config.data, root="data", episodes=episodes)
    encoder = replace(config.encoder, weights=Path(config.encoder.weights).name)
    if wrong := [name for name, value in model.half().state_dict().items() if not value.isfinite().all()]:
        raise CheckpointError(f"{source}: {wrong[0]} has values that float16 cannot represent")
    save_checkpoint(target, config=replace(config, data=data, encoder=encoder, init=init), model=model)
    return digest(target)


if __name__ == "__main__":
    run_command(main)
