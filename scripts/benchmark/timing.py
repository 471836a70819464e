"""The sub-commands of benchmark.py that time the network; what is timed is in paths.py."""

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np
import torch
from paths import Run, our_maps, reference_maps, reference_step
from PIL import Image
from torch.profiler import ProfilerActivity, profile
from tqdm import tqdm

from gconet.checkpoint import find_checkpoint, load_model
from gconet.data.groups import find_pictures
from gconet.device import peak_memory
from gconet.errors import ConfigError, DataError

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "data/demo"
SETTLED = 10  # steps of train.py on a GPU until its graph is recorded; log lines come up to 8 steps late
_run: Run  # of this process


def benchmark_inference(args: Namespace) -> None:
    """Print each path's median time, throughput, memory and ratio, and how its maps differ."""
    print(f"weights: {args.checkpoint or 'random'}; pictures: {args.images}")
    for count in args.groups:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            images = pictures(args.images, folder / "pictures", count)
            paths = {}
            if not args.ours:
                paths["reference path"] = partial(reference_maps, args, images, folder / "reference")
            for precision in args.precisions:
                paths[f"ours, {precision}"] = partial(our_maps, args, images, folder / precision, precision)
            print(f"group of {count}, files to files, ", end="")
            compare(paths, args, count)
            if args.checkpoint and not args.ours:  # random weights give flat maps
                for precision in args.precisions:
                    print(f"maps, {precision}: {difference(folder / 'reference', folder / precision)}")


def benchmark_train(args: Namespace) -> None:
    """Print the median time of the reference path's bare step and of train.py's steps, and their ratio.

    train.py's steps go from files to checkpoints; the first ones in the log are left out.
    """
    on_gpu = args.device.type == "cuda"
    steps, images = args.steps or (200 if on_gpu else 6), 2 * args.group
    variants = list(product(args.precisions, args.caches, ("true", "false") if on_gpu else ("false",)))
    with tempfile.TemporaryDirectory() as folder:
        settings = training_settings(Path(folder), args, args.checkpoint)
        print(f"training step, weights {args.checkpoint}, 2 x {args.group} images, ", end="", flush=True)
        reference = compare({"reference path": partial(reference_step, args, settings)}, args, images)
        print(f"train.py, {steps} steps")
        for precision, cache, graph in variants:
            name = f"ours, {precision}, cache {cache}, graph {graph}"
            own = [f"train.precision={precision}", f"data.cache={cache}", f"train.graph={graph}"]
            own += [f"train.steps={steps}", f"name={name}"]
            command = [sys.executable, str(ROOT / "train.py"), *settings, *own]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            if done.returncode:
                raise DataError(f"train.py {' '.join([*settings, *own])} failed: {done.stderr[-2000:]}")
            records = map(json.loads, Path(folder, "runs", name, "log.jsonl").read_text().splitlines())
            timed = [r for r in records if r["event"] == "step"][min(SETTLED, steps // 3) :]
            seconds = [images / r["images_per_second"] for r in timed]
            print_row(name, seconds, images, max(r["memory_gib"] for r in timed), reference)


def benchmark_profile(args: Namespace) -> None:
    """Print PyTorch's profile of train.py's steps, without a CUDA graph, which would hide the kernels."""
    from train import main as train

    kind = args.device.type
    with tempfile.TemporaryDirectory() as folder:
        settings = training_settings(Path(folder), args, "random")
        settings += [f"train.steps={args.repeats}", "train.graph=false"]
        os.chdir(folder)
        for precision in args.precisions:
            sys.argv = ["train.py", *settings, f"train.precision={precision}", f"name={precision}"]
            with profile(activities=[getattr(ProfilerActivity, kind.upper())]) as profiled:
                train()
            table = profiled.key_averages().table(
                sort_by=f"self_{kind}_time_total", row_limit=25, max_name_column_width=70
            )
            print(f"{precision}, {args.repeats} steps of 2 x {args.group} images\n{table}")


def training_settings(root: Path, args: Namespace, weights: str) -> list[str]:
    """Return train.py's settings for the release's recipe, on a new set in `root`.

    Its classes repeat the demo groups up to --group pictures each. Noise would not saturate trained maps.
    """
    for i in range(8):
        for group in DEMO.glob("images/*"):
            for side in ("images", "gts"):
                pictures(DEMO / side / group.name, root / side / "demo" / f"{group.name}{i}", args.group)
    settings = [f"data.root={root}", "data.train_set=demo", "train.epochs=1000"]
    settings += [f"data.image_size={args.size}", f"data.group_size={args.group}"]
    settings.append(f"train.device={args.device}")
    if weights == "random":
        return [*settings, "encoder.weights=none"]
    checkpoint = find_checkpoint(weights).resolve()  # train.py runs in another folder
    trainable = load_model(checkpoint)[1].encoder.trainable
    return [*settings, f"init={checkpoint}", f"encoder.trainable={trainable}"]


def compare(paths: dict[str, partial[Run]], args: Namespace, images: int) -> float:
    """Time all paths in turn, each in its own process, and print their rows.

    Returns the median seconds of the first path.
    """
    seconds: dict[str, list[float]] = {name: [] for name in paths}
    peaks = {}
    with ExitStack() as stack:
        context = multiprocessing.get_context("spawn")
        processes = {name: stack.enter_context(ProcessPoolExecutor(1, context)) for name in paths}
        for name, process in processes.items():
            process.submit(_set_up, paths[name]).result()
        for _ in tqdm(range(args.repeats), desc="time", unit="round", disable=None):
            for name, process in processes.items():
                spent, peaks[name] = process.submit(_time_run, args.device).result()
                seconds[name].append(spent)
    print(f"medians of {args.repeats} runs (fastest to slowest)")
    reference = median(next(iter(seconds.values())))
    for name, own in seconds.items():
        print_row(name, own, images, peaks[name], reference)
    return reference


def _set_up(path: partial[Run]) -> None:
    global _run
    _run = path()


def _time_run(device: torch.device) -> tuple[float, float]:
    start = time.perf_counter()
    _run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start, peak_memory(device)


def print_row(name: str, seconds: list[float], images: int, peak: float, reference: float) -> None:
    """Print a path's median time, images per second, GiB and ratio to the reference path's seconds."""
    middle = median(seconds)
    print(
        f"{name:38}{1e3 * middle:9.1f} ms ({1e3 * min(seconds):.1f} to {1e3 * max(seconds):.1f})"
        f"{images / middle:9.2f} images/s{peak:7.2f} GiB{reference / middle:7.2f} times as fast",
        flush=True,
    )


def pictures(source: Path, folder: Path, count: int) -> list[Path]:
    """Make `count` links in a new `folder` to the pictures in `source`, repeated if there are fewer."""
    files = find_pictures(source) if source.is_dir() else []
    if not files:
        raise ConfigError(f"--images {source} is not a folder of pictures; name the folder of one group")
    folder.mkdir(parents=True)
    for i in range(count):
        path = files[i % len(files)].resolve()
        (folder / f"{i:05d}{path.suffix}").symlink_to(path)
    return sorted(folder.iterdir())


def difference(reference: Path, ours: Path) -> str:
    """Describe how our maps differ from the reference path's."""
    names = [path.name for path in reference.iterdir()]
    maps = ([np.asarray(Image.open(folder / name), int) for folder in (reference, ours)] for name in names)
    values = np.concatenate([np.abs(a - b).ravel() for a, b in maps])
    return f"mean absolute difference {values.mean() / 255:.5f}, largest {values.max()} of 255 grey levels"
