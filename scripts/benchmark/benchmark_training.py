"""The sub-commands of benchmark.py that time training."""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmark_network import add_common, check_arguments, compare, print_row
from benchmark_steps import build_reference_step, build_step

from gconet.errors import ConfigError, DataError

TRAIN = """\
Time training steps of the release's recipe on a pair of full groups on the device: augmentation,
forward, losses, backward, Adam. Random weights see noise; trained weights see the demo groups,
since saturated maps have denormal gradients, which slow some CPUs down unless they are flushed to 0
("before": they are not, and freed memory goes back to the system).
Reference path and processes as for inference."""

LOOP = """\
Time train.py itself, from files to checkpoints, on a made-up set of classes with 5 to 16 pictures.
The table has the median time between steps with two full groups, beside the reference path's bare
step on such a batch in memory; images per second are of all steps. The first steps are left out."""

CLASSES, SIZES = 32, (16, 16, 9, 5)  # classes of the made-up set, and how many pictures they have in turn
SETTLED = 10  # steps after the last size of batch was recorded, as the log is read up to 8 steps late


def add_parsers(commands: Any) -> None:
    """Add the sub-commands `train` and `loop`."""
    raw = argparse.RawDescriptionHelpFormatter
    train = commands.add_parser("train", help="training steps", description=TRAIN, formatter_class=raw)
    train.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="weights: random, a file, or the name of some that ship (default: random, then pretrained)",
    )
    train.set_defaults(run=benchmark_train)
    loop = commands.add_parser("loop", help="train.py itself", description=LOOP, formatter_class=raw)
    loop.add_argument("--steps", type=int, metavar="N", help="default 200 on a GPU, 6 on a CPU")
    loop.add_argument("--caches", default="device,none", metavar="C,C", help="data.cache (%(default)s)")
    loop.set_defaults(run=benchmark_loop)
    profile = commands.add_parser("profile", help="where a training step's time goes, kernel by kernel")
    profile.set_defaults(run=benchmark_profile)
    for parser in (train, loop, profile):
        add_common(parser)
        parser.add_argument("--group", type=int, default=16, help="images in each of two groups (default 16)")


def benchmark_train(args: argparse.Namespace) -> None:
    """Print each path's median time of a step, throughput, memory and ratio."""
    from gconet.checkpoint import find_checkpoint
    from gconet.device import pick_device

    check_arguments(args)
    gpu = pick_device(args.device).type == "cuda"
    for weights in [args.checkpoint] if args.checkpoint else ["random", "pretrained"]:
        checkpoint = None if weights == "random" else find_checkpoint(weights)
        common = {"group": args.group, "size": args.size, "device": args.device, "checkpoint": checkpoint}
        builds: dict[str, tuple[Callable, dict]] = {"reference path": (build_reference_step, common)}
        for precision in args.precisions.split(","):
            options = common | {"precision": precision}
            if gpu:
                builds[f"ours, {precision}, no graph"] = (build_step, options)
            elif checkpoint:
                builds[f"ours, {precision}, before"] = (build_step, options | {"before": True})
            builds[f"ours, {precision}"] = (build_step, options | {"graph": gpu})
        print(f"training step, weights {weights}, 2 x {args.group} images, ", end="", flush=True)
        compare(builds, args.repeats, 2 * args.group)


def benchmark_profile(args: argparse.Namespace) -> None:
    """Print PyTorch's own table of a step, random weights, without a graph, which would hide its kernels."""
    from torch.profiler import ProfilerActivity, profile

    from gconet.device import pick_device

    check_arguments(args)
    gpu = pick_device(args.device).type == "cuda"
    kind = ProfilerActivity.CUDA if gpu else ProfilerActivity.CPU
    for precision in args.precisions.split(","):
        run = build_step(
            group=args.group, size=args.size, device=args.device, checkpoint=None, precision=precision
        )
        with profile(activities=[kind]) as profiled:
            for _ in range(args.repeats):
                run()
        order = "self_cuda_time_total" if gpu else "self_cpu_time_total"
        table = profiled.key_averages().table(sort_by=order, row_limit=25, max_name_column_width=70)
        print(f"{precision}, {args.repeats} steps of 2 x {args.group} images\n{table}")


class _Speed(NamedTuple):
    seconds: list[float]  # of the steps with two full groups
    images: float  # per second, of all steps
    peak: float  # GiB


def benchmark_loop(args: argparse.Namespace) -> None:
    """Print, for each precision, cache and way of running the step, how fast train.py is."""
    from gconet.data.toy import make_toy_set
    from gconet.device import pick_device

    check_arguments(args)
    if wrong := [c for c in args.caches.split(",") if c not in ("auto", "device", "memory", "none")]:
        raise ConfigError(f"--caches {wrong[0]!r}: give some of auto, device, memory, none")
    gpu = pick_device(args.device).type == "cuda"
    steps = args.steps or (200 if gpu else 6)
    common = {"group": args.group, "size": args.size, "device": args.device, "checkpoint": None}
    print(f"bare step in memory, 2 x {args.group} images, ", end="", flush=True)
    reference = compare({"reference path": (build_reference_step, common)}, args.repeats, 2 * args.group)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_toy_set(root, "toy", classes=CLASSES, images_per_class=1, size=args.size)
        for kind, suffix in (("images", "jpg"), ("gts", "png")):
            for i, images in enumerate(sorted((root / kind / "toy").iterdir())):
                for k in range(1, SIZES[i % len(SIZES)]):
                    shutil.copy(images / f"000.{suffix}", images / f"{k:03d}.{suffix}")
        print(f"train.py, {steps} steps, medians of 2 x {args.group} images (fastest to slowest)", flush=True)
        for precision in args.precisions.split(","):
            for cache in args.caches.split(","):
                for graph in ("true", "false") if gpu else ("false",):
                    settings = [f"train.precision={precision}", f"data.cache={cache}", f"train.graph={graph}"]
                    speed = _time_run(root, args, steps, settings)
                    name = f"{precision}, cache {cache}" + (", no graph" if gpu and graph == "false" else "")
                    spread = f"({1e3 * min(speed.seconds):.1f} to {1e3 * max(speed.seconds):.1f})"
                    print_row(name, median(speed.seconds), spread, speed.images, speed.peak, reference)


def _time_run(root: Path, args: argparse.Namespace, steps: int, settings: list[str]) -> _Speed:
    """Run train.py for so many steps on the set in `root` and read its log."""
    from gconet.data.episodes import DrawnEpisodes

    name = "-".join(s.split("=")[1] for s in settings)
    command = [sys.executable, str(Path(__file__).resolve().parents[2] / "train.py"), f"name={name}"]
    settings = [*settings, f"data.root={root}", "data.train_set=toy", f"data.image_size={args.size}"]
    settings += [f"data.group_size={args.group}", f"train.device={args.device}", f"train.steps={steps}"]
    settings += ["encoder.weights=none", "train.epochs=1000"]
    done = subprocess.run([*command, *settings], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DataError(f"train.py {' '.join(settings)} failed: {done.stderr[-2000:]}")
    lines = map(json.loads, (root / "runs" / name / "log.jsonl").read_text().splitlines())
    records = [record for record in lines if record["event"] == "step"]

    sizes = tuple(SIZES[i % len(SIZES)] for i in range(CLASSES))
    episodes = DrawnEpisodes(sizes=sizes, seed=0, group_size=args.group, flip=0, rotation=0)
    images = [len(e.images) for k in range(-(-steps // CLASSES)) for e in episodes.epoch(k)][:steps]
    first = _settled(images) if "train.graph=true" in settings else min(SETTLED, steps // 3)
    seconds = [n / record["images_per_second"] for n, record in zip(images, records, strict=True)][first:]
    full = [s for s, n in zip(seconds, images[first:], strict=True) if n == max(images)]
    if not full:
        raise ConfigError(f"--steps {steps}: too few, the first {first} are left out")
    return _Speed(full, sum(images[first:]) / sum(seconds), max(r["memory_gib"] for r in records))


def _settled(images: list[int]) -> int:
    """The first step by which every size of batch has run and been recorded, and the log caught up."""
    seen: Counter[int] = Counter()
    for step, n in enumerate(images):
        seen[n] += 1
        if len(seen) == len(set(images)) and min(seen.values()) >= 2:
            return step + SETTLED
    return len(images)
