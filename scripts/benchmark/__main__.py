"""Measure speed and memory on this machine. One sub-command per subject.

  $ python scripts/benchmark.py evaluate
  300 maps of 300x400, one process, medians per map
  thresholding loop       229.23 ms   121.1 times ours
  pysodmetrics              7.78 ms     4.1 times ours
  ours                      1.89 ms
  ours, as pysodmetrics     0.93 ms
  $ python scripts/benchmark.py evaluate --folder 6626    # the three benchmarks' total
  $ python scripts/benchmark.py inference                 # a pair, and a group of 20
  $ python scripts/benchmark.py inference --ours --groups 2 20 100 300 1000 --repeats 1
  $ python scripts/benchmark.py train                     # a step, with random weights
  $ python scripts/benchmark.py profile --precisions bf16 # a step, kernel by kernel

Every path runs in its own process; for inference they take turns, so that all see the same load.
The reference path is tests/reference_path.py: the whole affinity matrix, all side outputs, float32.
"""

import argparse
import os
import platform
import re
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]  # for the tests' reference path, and this folder

from gconet.cli import Parser  # noqa: E402
from gconet.errors import run_command  # noqa: E402


def whole(text: str) -> int:
    """Convert an argument to a whole number of 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    subjects = parser.add_subparsers(dest="subject", required=True, metavar="SUBJECT")
    evaluate = subjects.add_parser("evaluate", help="the scorer, against the toolbox's loop and pysodmetrics")
    evaluate.add_argument("--maps", type=whole, default=300, help="maps to time one by one (default 300)")
    evaluate.add_argument("--folder", type=whole, help="maps to time as a folder of files instead")

    inference = subjects.add_parser("inference", help="groups of pictures, from files to maps on disk")
    train = subjects.add_parser("train", help="steps of train.py, against a bare step of the reference path")
    profile = subjects.add_parser("profile", help="where a training step's time goes, kernel by kernel")
    for one in (inference, train, profile):
        add = one.add_argument
        add("--device", default="auto", help="default auto")
        add("--precisions", nargs="+", help="default fp32 bf16, on a GPU fp32 tf32 bf16")
        add("--size", type=whole, default=224, help="network input in pixels (default 224)")
        add("--repeats", type=whole, default=5, help="timed runs of each path (default 5)")
    for one in (train, profile):
        one.add_argument("--group", type=whole, default=16, help="images in each of two groups (default 16)")
    add = inference.add_argument
    add("--checkpoint", type=Path, help="weights (default: random ones)")
    add("--images", type=Path, default=ROOT / "data/demo/images/guitar", help="a folder of pictures")
    add("--groups", type=whole, nargs="+", default=[2, 20], help="group sizes (default 2 20)")
    about = "skip the reference path, which supports only VGG-16 and takes gigabytes for a large group"
    add("--ours", action="store_true", help=about)
    add("--memory", type=float, metavar="GIB", help="as for test.py")
    add = train.add_argument
    add("--checkpoint", default="random", help="random (default), a file, or shipped weights by name")
    add("--steps", type=whole, help="default 200 on a GPU, 6 on a CPU")
    add("--caches", nargs="+", default=["device"], help="data.cache (default device)")
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    info = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.*)", info.read_text() if info.exists() else "")
    cpu = model[1] if model else platform.machine()
    versions = f"Python {platform.python_version()}, numpy {version('numpy')}, torch {version('torch')}"
    print(f"{cpu}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {versions}")
    if args.subject == "evaluate":
        import scoring  # without torch, which would count as memory of the scorer's processes

        scoring.time_folder(args.folder) if args.folder else scoring.time_maps(args.maps)
        return 0

    import timing
    import torch

    from gconet.config import load_config
    from gconet.device import pick_device, pick_precision

    args.device = pick_device(args.device)
    args.precisions = args.precisions or ["fp32", *(["tf32"] if args.device.type == "cuda" else []), "bf16"]
    for precision in args.precisions:
        pick_precision(precision, args.device)
    for cache in vars(args).get("caches", ["device"]):
        load_config(None, [f"data.image_size={args.size}", f"data.cache={cache}"])
    if args.device.type == "cuda":
        print(torch.cuda.get_device_name(args.device))
    getattr(timing, f"benchmark_{args.subject}")(args)
    return 0


if __name__ == "__main__":
    run_command(main)
