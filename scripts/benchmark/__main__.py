"""Measure speed and memory on this machine. One sub-command per subject."""

import os
import platform
import shutil
import subprocess
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]  # for the tests' reference path, and this folder

import scorer  # noqa: E402
import timing  # noqa: E402

from gconet.errors import ConfigError, run_command  # noqa: E402

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
  $ python scripts/benchmark.py loop                                  # train.py itself, with data and log
  $ python scripts/benchmark.py profile --precisions bf16             # a step, kernel by kernel
  $ python scripts/benchmark.py group-size --precisions bf16

Every path has a process of its own; they take turns, so that all meet the same load, after a warm-up.
The reference path is tests/reference_path.py: the whole affinity matrix, all side outputs, float32."""


def whole(option: str, least: int = 1) -> Callable[[str], int]:
    """A whole number of at least `least`, for argparse; raises ConfigError."""

    def parse(text: str) -> int:
        if not text.lstrip("-").isdecimal() or int(text) < least:
            raise ConfigError(f"{option} {text}: give a whole number of {least} or more")
        return int(text)

    return parse


def several(option: str, parse: Callable[[str], Any], separator: str = ",") -> Callable[[str], list[Any]]:
    """Values of one kind with separators between, for argparse."""
    return lambda text: [parse(part) for part in text.split(separator)]


def choice(option: str, *choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ConfigError(f"{option} {text!r}: give some of {', '.join(choices)}")
        return text

    return parse


def main() -> int:
    parser = ArgumentParser(description=__doc__, epilog=EPILOG, formatter_class=RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="SUBJECT")

    def command(
        name: str, run: Callable[[Namespace], None], about: str, description: str = ""
    ) -> Callable[..., Any]:
        own = commands.add_parser(
            name, help=about, description=description or about, formatter_class=RawDescriptionHelpFormatter
        )
        own.set_defaults(run=run)
        return own.add_argument

    def read_size(text: str) -> list[int]:
        sides = [int(side) for side in text.split("x") if side.isdecimal()]
        if len(sides) != 2 or text.count("x") != 1 or min(sides) < 1:
            raise ConfigError(f"--size {text}: give height and width as 300x400")
        return sides

    add = command("evaluate", scorer.benchmark_evaluate, "the scorer", scorer.HELP)
    add("--maps", type=whole("--maps", 0), default=300, help="maps to time one by one (default 300)")
    add("--size", type=read_size, default=(300, 400), metavar="HxW", help="default 300x400")
    add("--folder", type=whole("--folder", 0), default=0, help="maps to score as a folder (default none)")
    add("--workers", type=whole("--workers", 0), default=2, help="processes for --folder (default 2)")
    inference = command(
        "inference", timing.benchmark_inference, "groups of pictures from files to maps on disk"
    )
    groups = several("--groups", whole("--groups"))
    inference("--groups", type=groups, default=[2, 20], metavar="N,N", help="group sizes (default 2,20)")
    size = command("group-size", timing.benchmark_group_size, "time and memory of one group against its size")
    default = [1, 2, 20, 100, 300, 1000]
    size(
        "--sizes",
        type=several("--sizes", whole("--sizes")),
        default=default,
        metavar="N,N",
        help=str(default),
    )
    size("--memory", type=float, metavar="GIB", help="as for test.py")
    train = command(
        "train", timing.benchmark_train, "training steps of the release's recipe on a pair of full groups"
    )
    train(
        "--checkpoint",
        metavar="FILE",
        help="random, a file, or the name of some that ship; default: two of them",
    )
    loop = command("loop", timing.benchmark_loop, "train.py itself", timing.LOOP)
    loop("--steps", type=whole("--steps", 2), metavar="N", help="default 200 on a GPU, 6 on a CPU")
    caches = several("--caches", choice("--caches", "auto", "device", "memory", "none"))
    loop("--caches", type=caches, default=["device", "none"], metavar="C,C", help="data.cache (device,none)")
    profile = command(
        "profile", timing.benchmark_profile, "where a training step's time goes, kernel by kernel"
    )
    precisions = several("--precisions", choice("--precisions", "auto", "fp32", "tf32", "bf16"))
    for add in (inference, size, train, loop, profile):
        add("--device", default="auto", help="default %(default)s")
        add("--precisions", type=precisions, metavar="P,P", help="default fp32,bf16, on a GPU fp32,tf32,bf16")
        add("--size", type=whole("--size", 32), default=224, help="network input in pixels (default 224)")
        add("--repeats", type=whole("--repeats"), default=5, help="timed runs of each path (default 5)")
        if add in (inference, size):
            add("--checkpoint", type=Path, help="weights (default: random ones)")
            add("--images", type=Path, help="a folder of pictures (default: made-up ones)")
        else:
            add(
                "--group", type=whole("--group"), default=16, help="images in each of two groups (default 16)"
            )
    args = parser.parse_args()
    if hasattr(args, "precisions"):
        args.precisions = args.precisions or (
            ["fp32", "tf32", "bf16"] if timing.on_gpu(args) else ["fp32", "bf16"]
        )
    print(describe_machine())
    args.run(args)
    return 0


def describe_machine() -> str:
    """Processor, cores, load and versions in a line."""
    cpu = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        models = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = models[0].split(":")[1].strip() if models else cpu
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "torch"))
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        gpus = subprocess.run(query, capture_output=True, text=True, check=False).stdout.splitlines()
        cpu = " + ".join([*gpus, cpu])
    return f"{cpu}, {os.cpu_count()} cores{load}; Python {platform.python_version()}, {versions}"


if __name__ == "__main__":
    run_command(main)
