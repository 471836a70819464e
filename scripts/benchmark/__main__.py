"""Measure speed and memory on this machine. One sub-command per subject."""

import argparse
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median

import benchmark_network
import benchmark_training
import cv2
import numpy as np
from tqdm import tqdm

from gconet.errors import ConfigError, DataError, run_command
from gconet.evaluation import score_map

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
  $ python scripts/benchmark.py group-size --precisions bf16"""

EVALUATE = """\
Time the scorer on synthetic maps and grey-edged masks: per map against the toolbox's thresholding
loop and against pysodmetrics (MAE, F, E and S), interleaved so that all meet the same load; and,
with --folder, scripts/evaluate.py as a command on a folder of PNG files."""


def main() -> int:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, epilog=EPILOG, formatter_class=raw)
    commands = parser.add_subparsers(required=True, metavar="SUBJECT")
    evaluate = commands.add_parser("evaluate", help="the scorer", description=EVALUATE, formatter_class=raw)
    evaluate.add_argument("--maps", type=int, default=300, help="maps to time one by one (default 300)")
    evaluate.add_argument("--size", default="300x400", metavar="HxW", help="default 300x400")
    evaluate.add_argument("--folder", type=int, default=0, help="maps to score as a folder (default none)")
    evaluate.add_argument("--workers", type=int, default=2, help="processes for --folder (default 2)")
    evaluate.set_defaults(run=benchmark_evaluate)
    benchmark_network.add_parsers(commands)
    benchmark_training.add_parsers(commands)
    args = parser.parse_args()
    print(describe_machine())
    args.run(args)
    return 0


def describe_machine() -> str:
    """Processor, cores, load and versions in a line."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = models[0].split(":")[1].strip() if models else cpu
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "torch"))
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        gpus = subprocess.run(query, capture_output=True, text=True, check=False).stdout.splitlines()
        cpu = " + ".join([*gpus, cpu])
    return f"{cpu}, {os.cpu_count()} cores{load}; Python {platform.python_version()}, {versions}"


def benchmark_evaluate(args: argparse.Namespace) -> None:
    """Print the time and memory of a folder, then the medians per map."""
    try:
        height, width = (int(side) for side in args.size.split("x"))
    except ValueError:
        raise ConfigError(f"--size {args.size}: give height and width as 300x400") from None
    if min(height, width) < 1:
        raise ConfigError(f"--size {args.size}: give at least 1x1")
    for name in ("maps", "folder", "workers"):
        if (value := getattr(args, name)) < 0:
            raise ConfigError(f"--{name} {value}: give 0 or more")
    if args.folder:  # first, while this process is small: its size counts in its children's peak
        time_folder(args.folder, height, width, args.workers)
    if args.maps:
        time_maps(args.maps, height, width)


def make_pair(height: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A blurred blob as map, another with anti-aliased edges as mask: (H, W) each, 8-bit."""
    noise = np.random.RandomState(seed)
    coarse = noise.rand(2, 6, 8).astype(np.float32)
    m, g = (cv2.resize(c, (width, height), interpolation=cv2.INTER_CUBIC) for c in coarse)
    m = np.clip(0.5 + 2 * (0.7 * g + 0.3 * m - 0.6), 0, 1)
    return (255 * m).astype(np.uint8), (255 * np.clip(20 * (g - 0.6), 0, 1)).astype(np.uint8)


def time_maps(count: int, height: int, width: int) -> None:
    """Print the median time per map of the loop, of pysodmetrics and of ours, in one process."""
    import torch
    from thresholding_loop import score_by_thresholding

    torch.set_num_threads(1)
    rivals: dict[str, Callable[[np.ndarray, np.ndarray], object]] = {
        "thresholding loop": score_by_thresholding,
        "pysodmetrics": score_by_pysodmetrics(),
        "ours": score_map,
        "ours, as pysodmetrics": lambda m, g: score_map(m, g, "pysodmetrics"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for seed in tqdm(range(count), desc="time maps", unit="map", disable=None):
        pair = make_pair(height, width, seed)
        for name, score in rivals.items():
            start = time.perf_counter()
            score(*pair)
            seconds[name].append(time.perf_counter() - start)
    medians = {name: median(times) for name, times in seconds.items()}
    print(f"{count} maps of {height}x{width}, one process, medians per map")
    for name, value in medians.items():
        times = f"{value / medians['ours']:8.1f} times ours" if not name.startswith("ours") else ""
        print(f"{name:22}{1e3 * value:8.2f} ms{times}")


def score_by_pysodmetrics() -> Callable[[np.ndarray, np.ndarray], object]:
    """The same four metrics by pysodmetrics; raises ConfigError if it is not installed."""
    import warnings

    try:
        from py_sod_metrics import MAE, Emeasure, Fmeasure, Smeasure
    except ImportError:
        raise ConfigError("the comparison needs pysodmetrics: pip install 'gconet[test]'") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Fmeasure announces its successor
        metrics = [metric() for metric in (MAE, Fmeasure, Emeasure, Smeasure)]
    return lambda m, g: [metric.step(m, g) for metric in metrics]


def time_folder(count: int, height: int, width: int, workers: int) -> None:
    """Print the time and an upper bound of the memory of scripts/evaluate.py on `count` maps."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for seed in tqdm(range(count), desc="write maps", unit="map", disable=None):
            for kind, picture in zip(("maps", "gts"), make_pair(height, width, seed), strict=True):
                path = root / kind / f"group{seed // 40:03d}" / f"{seed}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), picture)
        script = str(Path(__file__).parents[1] / "evaluate.py")
        options = ["--maps", str(root / "maps"), "--gts", str(root / "gts"), "--workers", str(workers)]
        start = time.perf_counter()
        done = subprocess.run([sys.executable, script, *options], stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
    if done.returncode:
        raise DataError(f"scripts/evaluate.py failed with status {done.returncode}; its message is above")
    # the largest of the processes (ru_maxrss in KiB on Linux), as if each of them had grown to it
    peak = (workers + 1) * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**10
    print(
        f"{count} maps of {height}x{width} from PNG files, {workers} workers: {seconds:.1f} s, "
        f"{count / seconds:.0f} maps/s, at most {peak:.0f} MiB in all processes"
    )


if __name__ == "__main__":
    run_command(main)
