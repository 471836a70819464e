"""The sub-commands of benchmark.py that time the network on pictures; what they share with training's."""

import argparse
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
from benchmark_paths import Worker, build_ours, build_reference
from PIL import Image
from tqdm import tqdm

from gconet.data.groups import list_files
from gconet.errors import ConfigError

INFERENCE = """\
Time groups of pictures from files to maps on disk (or, with --network, from pixels in memory to
maps in memory). Every path has a process of its own, as when started by hand; they take turns, so
that all meet the same load, and come after a warm-up. The reference path is
scripts/benchmark/reference_path.py: the whole affinity matrix, all side outputs, float32."""

GROUP_SIZE = """\
Time and memory of one group against its size, from files to maps on disk; a process for each size."""


def add_parsers(commands: Any) -> None:
    """Add the sub-commands `inference` and `group-size`."""
    raw = argparse.RawDescriptionHelpFormatter
    inference = commands.add_parser(
        "inference", help="pictures to maps", description=INFERENCE, formatter_class=raw
    )
    inference.add_argument("--groups", default="2,20", metavar="N,N", help="group sizes (default 2,20)")
    inference.add_argument("--network", action="store_true", help="leave out reading and writing files")
    inference.set_defaults(run=benchmark_inference)
    size = commands.add_parser(
        "group-size", help="time and memory against N", description=GROUP_SIZE, formatter_class=raw
    )
    size.add_argument("--sizes", default="1,2,20,100,300,1000", metavar="N,N", help="default %(default)s")
    size.add_argument("--memory", type=float, metavar="GIB", help="as for test.py")
    size.set_defaults(run=benchmark_group_size)
    for parser in (inference, size):
        add_common(parser)
        parser.add_argument("--checkpoint", type=Path, help="weights (default: random ones)")
        parser.add_argument("--images", type=Path, help="a folder of pictures (default: made-up ones)")


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add the options that all sub-commands of the network have."""
    parser.add_argument("--device", default="auto", help="default %(default)s")
    parser.add_argument("--precisions", metavar="P,P", help="default fp32,bf16, on a GPU fp32,tf32,bf16")
    parser.add_argument("--size", type=int, default=224, help="network input in pixels (default 224)")
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each path (default 5)")


def check_arguments(args: argparse.Namespace) -> None:
    """Fill in the precisions if none are given; raise ConfigError for what no process could run."""
    from gconet.device import pick_device

    for name, least in (("repeats", 1), ("size", 32), ("group", 1), ("steps", 2)):
        if (value := getattr(args, name, least)) is not None and value < least:
            raise ConfigError(f"--{name} {value}: give {least} or more")
    gpu = pick_device(args.device).type == "cuda"
    args.precisions = args.precisions or ("fp32,tf32,bf16" if gpu else "fp32,bf16")
    if wrong := [p for p in args.precisions.split(",") if p not in ("auto", "fp32", "tf32", "bf16")]:
        raise ConfigError(f"--precisions {wrong[0]!r}: give some of auto, fp32, tf32, bf16")


def benchmark_inference(args: argparse.Namespace) -> None:
    """Print each path's median time, throughput, memory and ratio, and how its maps differ."""
    check_arguments(args)
    print(f"weights: {args.checkpoint or 'random'}; pictures: {args.images or 'made up'}")
    for count in _numbers("--groups", args.groups):
        with tempfile.TemporaryDirectory() as folder:
            images = _pictures(args.images, Path(folder), count)
            common = {"images": images, "checkpoint": args.checkpoint, "device": args.device}
            common |= {"size": args.size, "network": args.network}
            builds: dict[str, tuple[Callable, dict]] = {
                "reference path": (build_reference, common | {"output": Path(folder) / "reference"})
            }
            for precision in args.precisions.split(","):
                options = {"precision": precision, "output": Path(folder) / precision}
                builds[f"ours, {precision}"] = (build_ours, common | options)
            print(f"group of {count}, {'network alone' if args.network else 'files to files'}, ", end="")
            compare(builds, args.repeats, count)
            compared = [] if args.network or args.checkpoint is None else args.precisions.split(",")
            for precision in compared:  # random weights give flat maps, which would say nothing
                print(f"maps, {precision}: {_difference(Path(folder), precision)}")


def benchmark_group_size(args: argparse.Namespace) -> None:
    """Print a table of group size against time and memory."""
    check_arguments(args)
    for precision in args.precisions.split(","):
        print(f"ours, {precision}, files to files\n{'N':>6}{'seconds':>10}{'images/s':>10}{'peak GiB':>10}")
        for count in _numbers("--sizes", args.sizes):
            with tempfile.TemporaryDirectory() as folder:
                images = _pictures(args.images, Path(folder), count)
                memory = None if args.memory is None else int(args.memory * 2**30)
                options = {"images": images, "checkpoint": args.checkpoint, "device": args.device}
                options |= {"size": args.size, "network": False, "precision": precision, "memory": memory}
                warm = min(count, 2)  # a small group, so that a large one need not run twice
                with Worker(build_ours, options | {"output": Path(folder) / "maps", "warm": warm}) as worker:
                    seconds, peak = worker.run()
            print(f"{count:6}{seconds:10.2f}{count / seconds:10.2f}{peak:10.2f}", flush=True)


def compare(builds: dict[str, tuple[Callable, dict]], repeats: int, images: int) -> float:
    """Run all paths in turns; print their medians and the ratio to the first one, whose median in
    seconds is returned."""
    seconds: dict[str, list[float]] = {name: [] for name in builds}
    peaks = {}
    with ExitStack() as stack:
        workers = {n: stack.enter_context(Worker(*build)) for n, build in builds.items()}
        for _ in tqdm(range(repeats), desc="time", unit="round", disable=None):
            for name, worker in workers.items():
                spent, peaks[name] = worker.run()
                seconds[name].append(spent)
    print(f"medians of {repeats} runs (fastest to slowest)")
    reference = median(next(iter(seconds.values())))
    for name, values in seconds.items():
        middle = median(values)
        spread = f"({1e3 * min(values):.1f} to {1e3 * max(values):.1f})"
        print_row(name, middle, spread, images / middle, peaks[name], reference)
    return reference


def print_row(name: str, seconds: float, spread: str, speed: float, peak: float, reference: float) -> None:
    """A path's median time, images per second, GiB and ratio to the reference path's seconds."""
    print(
        f"{name:26}{1e3 * seconds:9.1f} ms {spread}{speed:9.2f} images/s{peak:7.2f} GiB"
        f"{reference / seconds:7.2f} times as fast",
        flush=True,
    )


def _pictures(source: Path | None, folder: Path, count: int) -> list[Path]:
    """`count` pictures: of the folder `source`, repeated under new names where it has fewer; or blobs."""
    (folder / "pictures").mkdir()
    if source and not source.is_dir():
        raise ConfigError(f"--images {source} is not a folder; name one group of pictures")
    files = list(list_files(source).values()) if source else []
    if source and not files:
        raise ConfigError(f"--images {source} holds no pictures; name one group of pictures")
    paths = []
    for i in range(count):
        if files:
            original = files[i % len(files)].resolve()
            path = folder / "pictures" / f"{i:05d}{original.suffix}"
            path.symlink_to(original)
        else:
            coarse = np.random.RandomState(i).randint(0, 256, (9, 12, 3), np.uint8)
            path = folder / "pictures" / f"{i:05d}.jpg"
            Image.fromarray(cv2.resize(coarse, (400, 300), interpolation=cv2.INTER_CUBIC)).save(path)
        paths.append(path)
    return paths


def _difference(folder: Path, precision: str) -> str:
    """How the maps written under `precision` differ from the reference path's."""
    differences = []
    for path in sorted((folder / "reference").iterdir()):
        reference, ours = (
            np.asarray(Image.open(p), np.int16) for p in (path, folder / precision / path.name)
        )
        differences.append(np.abs(reference - ours).ravel())
    values = np.concatenate(differences)
    return f"mean absolute difference {values.mean() / 255:.5f}, largest {values.max()} of 255 grey levels"


def _numbers(option: str, text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise ConfigError(f"{option} {text}: give whole numbers above 0, as 2,20")
    return numbers
