"""Measure the speed and memory of inference on this machine, from picture files to map files.

    python scripts/benchmark.py
    python scripts/benchmark.py --paths bf16 --groups 2 20 100 300 1000 --repeats 1

Every path is measured in its own process. The reference path is tests/reference_path.py: the whole affinity
matrix, all side outputs, float32; it takes gigabytes for 100 pictures. For training, see images_per_second
and memory_gib in runs/<name>/log.jsonl.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # for the tests' reference path

from gconet.cli import new_parser  # noqa: E402
from gconet.config import load_config  # noqa: E402
from gconet.data.groups import Group, Item, find_pictures  # noqa: E402
from gconet.errors import ConfigError, GCoNetError, run_command  # noqa: E402

REFERENCE, WARM = "reference", 20  # WARM: most pictures to warm up on


def main() -> int:
    args = parse_args()
    if args.path:
        return measure(args)
    files = find_pictures(args.images) if args.images.is_dir() else []
    if not files:
        raise ConfigError(f"--images {args.images} is not a folder of pictures; name the folder of one group")
    print(f"{os.cpu_count()} cores; medians of {args.repeats} runs (fastest to slowest)")
    for count in args.groups:
        print(f"group of {count}", flush=True)
        for path in args.paths:
            with tempfile.TemporaryDirectory() as work:
                for i in range(count):  # repeated if there are fewer
                    source = files[i % len(files)].resolve()
                    Path(work, f"{i:05d}{source.suffix}").symlink_to(source)
                command = [sys.executable, __file__, *sys.argv[1:], "--work", work, "--path", path]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
            if done.returncode:
                raise GCoNetError(f"{path}: its process failed, see above")
            seconds, peak = json.loads(done.stdout)
            spread = f"({1e3 * min(seconds):.1f} to {1e3 * max(seconds):.1f})"
            speed = f"{count / median(seconds):9.2f} images/s{peak:7.2f} GiB"
            print(f"  {path:10}{1e3 * median(seconds):9.1f} ms {spread}{speed}", flush=True)
    return 0


def measure(args: argparse.Namespace) -> int:
    """Time --path in this process; print the seconds of each run, and the peak memory in GiB."""
    import torch

    from gconet.checkpoint import find_checkpoint, load_model
    from gconet.device import peak_memory, pick_device, pick_precision
    from gconet.inference.folders import write_maps
    from gconet.inference.predictor import Predictor
    from gconet.models import build_model
    from tests import reference_path

    device, seconds = pick_device(args.device), []
    pick_precision("fp32" if args.path == REFERENCE else args.path, device)
    torch.manual_seed(0)
    given = args.checkpoint and load_model(find_checkpoint(args.checkpoint))[0]
    net = given or build_model(load_config()).eval()
    images, output = sorted(args.work.iterdir()), args.work / "maps/group"
    output.mkdir(parents=True)
    if args.path == REFERENCE:
        state = {name: tensor.to(device) for name, tensor in net.state_dict().items()}
    else:
        predictor = Predictor(net, size=args.size, device=device, precision=args.path)
    for turn in range(-1, args.repeats):  # the first turn warms up
        some = images[:WARM] if turn < 0 else images
        start = time.perf_counter()
        if args.path == REFERENCE:
            reference_path.predict_files(state, some, output, args.size)
        else:
            group = Group(output.name, tuple(Item(stem=path.stem, image=path) for path in some))
            write_maps(predictor, [group], output.parent)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    print(json.dumps([seconds[1:], peak_memory(device)]))
    return 0


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("--device", default="auto", help="default auto")
    paths = (REFERENCE, "fp32", "tf32", "bf16", "fp16")
    add("--paths", nargs="+", choices=paths, default=[REFERENCE, "fp32", "bf16"], help="default: these")
    add("--repeats", type=int, default=5, help="timed runs of each path (default 5)")
    add("--checkpoint", metavar="FILE", help="default: random weights")
    add("--images", type=Path, default=ROOT / "data/demo/images/guitar", metavar="DIR", help="of one group")
    add("--groups", type=int, nargs="+", default=[2, 20], metavar="N", help="group sizes (default 2 20)")
    add("--size", type=int, default=224, metavar="PIXELS", help="of the network's input (default 224)")
    add("--path", help=argparse.SUPPRESS)  # of a child process
    add("--work", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if (least := min(*args.groups, args.repeats)) < 1:
        parser.error(f"--groups and --repeats must be 1 or more, not {least}")
    return args


if __name__ == "__main__":
    run_command(main)
