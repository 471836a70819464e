"""Measure speed and memory on this machine. One sub-command per subject."""

import argparse
import os
import platform
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]  # for the tests' reference path, and this folder

from gconet.cli import Parser  # noqa: E402
from gconet.errors import run_command  # noqa: E402

EPILOG = """\
  $ python scripts/benchmark.py evaluate
  300 maps of 300x400, one process, medians per map
  thresholding loop       229.23 ms   121.1 times ours
  pysodmetrics              7.78 ms     4.1 times ours
  ours                      1.89 ms
  ours, as pysodmetrics     0.93 ms
  $ python scripts/benchmark.py evaluate --folder 6626 --workers 2    # the three benchmarks' total
  $ python scripts/benchmark.py inference                             # a pair, and a group of 20
  $ python scripts/benchmark.py train                                 # a step, of random and trained weights
  $ python scripts/benchmark.py profile --precisions bf16             # a step, kernel by kernel
  $ python scripts/benchmark.py group-size --precisions bf16

Every path has a process of its own; for inference they take turns, so that all meet the same load.
The reference path is tests/reference_path.py: the whole affinity matrix, all side outputs, float32."""
EVALUATE = """ on synthetic maps and grey-edged masks: per map against the toolbox's thresholding
loop and against pysodmetrics (MAE, F, E and S), in turns, so that all meet the same load; and, with
--folder, scripts/evaluate.py as a command on a folder of PNG files"""
TRAIN = """ by train.py, from files to checkpoints,
beside the reference path's bare step in memory without augmentation: the median of the steps in the log,
without the first ones"""


def whole(least: int = 1) -> Callable[[str], int]:
    """A whole number of at least `least`, for argparse."""

    def parse(text: str) -> int:
        if not text.lstrip("-").isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text}: give a whole number of {least} or more")
        return int(text)

    return parse


def several(parse: Callable[[str], Any], separator: str = ",") -> Callable[[str], list[Any]]:
    """Values of one kind with separators between, for argparse."""
    return lambda text: [parse(part) for part in text.split(separator)]


def parse_args() -> argparse.Namespace:
    layout = argparse.RawDescriptionHelpFormatter
    parser = Parser(description=__doc__, epilog=EPILOG, formatter_class=layout)
    subjects = parser.add_subparsers(dest="subject", required=True, metavar="SUBJECT")

    def subject(name: str, about: str, more: str = "") -> argparse.ArgumentParser:
        return subjects.add_parser(name, help=about, description=about + more, formatter_class=layout)

    add = subject("evaluate", "the scorer", EVALUATE).add_argument
    add("--maps", type=whole(0), default=300, help="maps to time one by one (default 300)")
    add("--size", type=several(whole(), "x"), default=[300, 400], metavar="HxW", help="default 300x400")
    add("--folder", type=whole(0), default=0, help="maps to score as a folder (default none)")
    add("--workers", type=whole(0), default=2, help="processes for --folder (default 2)")

    inference = subject("inference", "groups of pictures from files to maps on disk")
    sizes = subject("group-size", "time and memory of one group against its size")
    train = subject("train", "training steps of the release's recipe on a pair of full groups", TRAIN)
    profile = subject("profile", "where a training step's time goes, kernel by kernel")
    for one in (inference, sizes, train, profile):
        add = one.add_argument
        add("--device", default="auto", help="default auto")
        add(
            "--precisions",
            type=several(str),
            metavar="P,P",
            help="default fp32,bf16, on a GPU fp32,tf32,bf16",
        )
        add("--size", type=whole(32), default=224, help="network input in pixels (default 224)")
        add("--repeats", type=whole(), default=5, help="timed runs of each path (default 5)")
    for one in (inference, sizes):
        one.add_argument("--checkpoint", type=Path, help="weights (default: random ones)")
        one.add_argument(
            "--images", type=Path, default=ROOT / "data/demo/images/guitar", help="a folder of pictures"
        )
    for one in (train, profile):
        one.add_argument(
            "--group", type=whole(), default=16, help="images in each of two groups (default 16)"
        )
    groups: dict[str, Any] = {"type": several(whole()), "metavar": "N,N", "help": "default %(default)s"}
    inference.add_argument("--groups", default=[2, 20], **groups)
    sizes.add_argument("--sizes", default=[1, 2, 20, 100, 300, 1000], **groups)
    sizes.add_argument("--memory", type=float, metavar="GIB", help="as for test.py")
    add = train.add_argument
    add("--checkpoint", metavar="FILE", help="random, a file, or weights that ship; default: two of them")
    add("--steps", type=whole(3), metavar="N", help="default 200 on a GPU, 6 on a CPU")
    add("--caches", type=several(str), default=["device"], metavar="C,C", help="data.cache (default device)")
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    print(describe_machine())
    if args.subject == "evaluate":
        import scorer  # without torch, whose size would count as that of the scorer's processes

        scorer.benchmark_evaluate(args)
        return 0

    import timing
    import torch

    from gconet.device import pick_device, pick_precision

    args.device = pick_device(args.device)
    args.precisions = args.precisions or ["fp32", *(["tf32"] if args.device.type == "cuda" else []), "bf16"]
    for precision in args.precisions:
        pick_precision(precision, args.device)
    if args.device.type == "cuda":
        print(torch.cuda.get_device_name(args.device))
    getattr(timing, f"benchmark_{args.subject.replace('-', '_')}")(args)
    return 0


def describe_machine() -> str:
    """Processor, cores, load and versions in a line."""
    cpu = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        models = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = models[0].split(":")[1].strip() if models else cpu
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "torch"))
    return f"{cpu}, {os.cpu_count()} cores{load}; Python {platform.python_version()}, {versions}"


if __name__ == "__main__":
    run_command(main)
