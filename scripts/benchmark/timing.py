"""The sub-commands of benchmark.py that time the network; what is timed is in paths.py."""

import json
import shutil
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median

import numpy as np
from paths import Build, Worker, our_maps, our_step, reference_maps, reference_step
from PIL import Image
from tqdm import tqdm

from gconet.data.groups import list_files
from gconet.errors import ConfigError, DataError
from gconet.opencv import cv2

LOOP = """\
Time train.py itself, from files to checkpoints, on a made-up set of classes with 5 to 16 pictures.
The table has the median time between steps with two full groups, beside the reference path's bare
step on such a batch in memory; images per second are of all steps. The first steps are left out."""
CLASSES, SIZES = 32, (16, 16, 9, 5)  # classes of the made-up set, and how many pictures they have in turn
SETTLED = 10  # steps after the last size of batch was recorded, as the log is read up to 8 steps late


def on_gpu(args: Namespace) -> bool:
    from gconet.device import pick_device

    return pick_device(args.device).type == "cuda"


def benchmark_inference(args: Namespace) -> None:
    """Print each path's median time, throughput, memory and ratio, and how its maps differ."""
    print(f"weights: {args.checkpoint or 'random'}; pictures: {args.images or 'made up'}")
    for count in args.groups:
        with tempfile.TemporaryDirectory() as folder:
            common = {"images": pictures(args.images, Path(folder), count), "checkpoint": args.checkpoint}
            common |= {"device": args.device, "size": args.size}
            reference = Path(folder) / "reference"
            builds: dict[str, tuple[Build, dict]] = {
                "reference path": (reference_maps, common | {"output": reference})
            }
            for precision in args.precisions:
                own = {"precision": precision, "output": Path(folder) / precision}
                builds[f"ours, {precision}"] = (our_maps, common | own)
            print(f"group of {count}, files to files, ", end="")
            compare(builds, args.repeats, count)
            for precision in args.precisions if args.checkpoint else ():  # random weights give flat maps
                print(f"maps, {precision}: {difference(reference, Path(folder) / precision)}")


def benchmark_group_size(args: Namespace) -> None:
    """Print a table of group size against time and memory; a process for each size."""
    for precision in args.precisions:
        print(f"ours, {precision}, files to files\n{'N':>6}{'seconds':>10}{'images/s':>10}{'peak GiB':>10}")
        for count in args.sizes:
            with tempfile.TemporaryDirectory() as folder:
                options = {
                    "images": pictures(args.images, Path(folder), count),
                    "checkpoint": args.checkpoint,
                }
                options |= {"device": args.device, "size": args.size, "precision": precision}
                options |= {"memory": None if args.memory is None else int(args.memory * 2**30)}
                options |= {"output": Path(folder) / "maps", "warm": min(count, 2)}  # a large group runs once
                with closing(Worker(our_maps, options)) as worker:
                    seconds, peak = worker.run()
            print(f"{count:6}{seconds:10.2f}{count / seconds:10.2f}{peak:10.2f}", flush=True)


def benchmark_train(args: Namespace) -> None:
    """Print each path's median time of a step, throughput, memory and ratio."""
    from gconet.checkpoint import find_checkpoint

    for weights in [args.checkpoint] if args.checkpoint else ["random", "pretrained"]:
        checkpoint = None if weights == "random" else find_checkpoint(weights)
        common = {"group": args.group, "size": args.size, "device": args.device, "checkpoint": checkpoint}
        builds: dict[str, tuple[Build, dict]] = {"reference path": (reference_step, common)}
        for precision in args.precisions:
            if on_gpu(args):
                builds[f"ours, {precision}, no graph"] = (our_step, common | {"precision": precision})
            builds[f"ours, {precision}"] = (
                our_step,
                common | {"precision": precision, "graph": on_gpu(args)},
            )
        print(f"training step, weights {weights}, 2 x {args.group} images, ", end="", flush=True)
        compare(builds, args.repeats, 2 * args.group)


def benchmark_profile(args: Namespace) -> None:
    """Print PyTorch's own table of a step, random weights, without a graph, which would hide its kernels."""
    from torch.profiler import ProfilerActivity, profile

    kind, order = (
        (ProfilerActivity.CUDA, "self_cuda_time_total")
        if on_gpu(args)
        else (ProfilerActivity.CPU, "self_cpu_time_total")
    )
    for precision in args.precisions:
        run = our_step(args.group, args.size, args.device, None, precision)
        with profile(activities=[kind]) as profiled:
            for _ in range(args.repeats):
                run()
        table = profiled.key_averages().table(sort_by=order, row_limit=25, max_name_column_width=70)
        print(f"{precision}, {args.repeats} steps of 2 x {args.group} images\n{table}")


def benchmark_loop(args: Namespace) -> None:
    """Print, for each precision, cache and way of running the step, how fast train.py is."""
    from gconet.data.toy import make_toy_set

    steps = args.steps or (200 if on_gpu(args) else 6)
    common = {"group": args.group, "size": args.size, "device": args.device, "checkpoint": None}
    print(f"bare step in memory, 2 x {args.group} images, ", end="", flush=True)
    reference = compare({"reference path": (reference_step, common)}, args.repeats, 2 * args.group)
    with tempfile.TemporaryDirectory() as folder:
        make_toy_set(Path(folder), "toy", classes=CLASSES, images_per_class=1, size=args.size)
        for kind, suffix in (("images", "jpg"), ("gts", "png")):
            for i, images in enumerate(sorted(Path(folder, kind, "toy").iterdir())):
                for k in range(1, SIZES[i % len(SIZES)]):
                    shutil.copy(images / f"000.{suffix}", images / f"{k:03d}.{suffix}")
        print(f"train.py, {steps} steps, medians of 2 x {args.group} images (fastest to slowest)", flush=True)
        for precision in args.precisions:
            for cache in args.caches:
                for graph in ("true", "false") if on_gpu(args) else ("false",):
                    name = f"{precision}, cache {cache}" + (
                        ", no graph" if on_gpu(args) and graph == "false" else ""
                    )
                    settings = [f"train.precision={precision}", f"data.cache={cache}", f"train.graph={graph}"]
                    print_row(name, *time_run(Path(folder), args, steps, settings), reference)


def time_run(
    root: Path, args: Namespace, steps: int, settings: list[str]
) -> tuple[list[float], float, float]:
    """Run train.py for so many steps on the set in `root` and read its log.

    Returns the seconds of the steps with two full groups, images per second of all steps, and peak GiB.
    """
    from gconet.data.episodes import DrawnEpisodes

    name = "-".join(s.split("=")[1] for s in settings)
    command = [
        sys.executable,
        str(Path(__file__).resolve().parents[2] / "train.py"),
        f"name={name}",
        *settings,
    ]
    command += [
        f"data.root={root}",
        "data.train_set=toy",
        f"data.image_size={args.size}",
        "train.epochs=1000",
    ]
    command += [f"data.group_size={args.group}", f"train.device={args.device}", f"train.steps={steps}"]
    done = subprocess.run([*command, "encoder.weights=none"], cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise DataError(f"{' '.join(command[1:])} failed: {done.stderr[-2000:]}")
    lines = map(json.loads, (root / "runs" / name / "log.jsonl").read_text().splitlines())
    records = [record for record in lines if record["event"] == "step"]

    sizes = tuple(SIZES[i % len(SIZES)] for i in range(CLASSES))
    episodes = DrawnEpisodes(sizes=sizes, seed=0, group_size=args.group, flip=0, rotation=0)
    images = [len(e.images) for k in range(-(-steps // CLASSES)) for e in episodes.epoch(k)][:steps]
    first = settled(images) if "train.graph=true" in settings else min(SETTLED, steps // 3)
    seconds = [n / record["images_per_second"] for n, record in zip(images, records, strict=True)][first:]
    full = [s for s, n in zip(seconds, images[first:], strict=True) if n == max(images)]
    if not full:
        raise ConfigError(f"--steps {steps}: too few, the first {first} are left out")
    return full, sum(images[first:]) / sum(seconds), max(r["memory_gib"] for r in records)


def settled(images: list[int]) -> int:
    """The first step by which every size of batch has run and been recorded, and the log caught up."""
    seen: Counter[int] = Counter()
    for step, n in enumerate(images):
        seen[n] += 1
        if len(seen) == len(set(images)) and min(seen.values()) >= 2:
            return step + SETTLED
    return len(images)


def compare(builds: dict[str, tuple[Build, dict]], repeats: int, images: int) -> float:
    """Run all paths in turns and print their rows; returns the median seconds of the first one."""
    seconds: dict[str, list[float]] = {name: [] for name in builds}
    peaks = {}
    with ExitStack() as stack:
        workers = {n: stack.enter_context(closing(Worker(*build))) for n, build in builds.items()}
        for _ in tqdm(range(repeats), desc="time", unit="round", disable=None):
            for name, worker in workers.items():
                spent, peaks[name] = worker.run()
                seconds[name].append(spent)
    print(f"medians of {repeats} runs (fastest to slowest)")
    reference = median(next(iter(seconds.values())))
    for name, values in seconds.items():
        print_row(name, values, images / median(values), peaks[name], reference)
    return reference


def print_row(name: str, seconds: list[float], speed: float, peak: float, reference: float) -> None:
    """A path's median time, images per second, GiB and ratio to the reference path's seconds."""
    middle = median(seconds)
    print(
        f"{name:26}{1e3 * middle:9.1f} ms ({1e3 * min(seconds):.1f} to {1e3 * max(seconds):.1f})"
        f"{speed:9.2f} images/s{peak:7.2f} GiB{reference / middle:7.2f} times as fast",
        flush=True,
    )


def pictures(source: Path | None, folder: Path, count: int) -> list[Path]:
    """`count` pictures: of the folder `source`, repeated under new names if it has fewer; or blobs."""
    files = list(list_files(source).values()) if source and source.is_dir() else []
    if source and not files:
        raise ConfigError(f"--images {source} is not a folder of pictures; name one group")
    (folder / "pictures").mkdir()
    paths = [
        folder / f"pictures/{i:05d}{files[i % len(files)].suffix if files else '.jpg'}" for i in range(count)
    ]
    for i, path in enumerate(paths):
        if files:
            path.symlink_to(files[i % len(files)].resolve())
        else:
            coarse = np.random.RandomState(i).randint(0, 256, (9, 12, 3), np.uint8)
            Image.fromarray(cv2.resize(coarse, (400, 300), interpolation=cv2.INTER_CUBIC)).save(path)
    return paths


def difference(reference: Path, ours: Path) -> str:
    """How our maps differ from the reference path's."""
    maps = [
        [np.asarray(Image.open(f / path.name), int) for f in (reference, ours)]
        for path in reference.iterdir()
    ]
    values = np.concatenate([np.abs(a - b).ravel() for a, b in maps])
    return f"mean absolute difference {values.mean() / 255:.5f}, largest {values.max()} of 255 grey levels"
