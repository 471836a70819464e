"""Measure speed and memory on this machine.

    python scripts/benchmark.py inference                   groups of pictures, from files to maps on disk
    python scripts/benchmark.py inference --ours --groups 2 20 100 300 1000 --repeats 1
    python scripts/benchmark.py train                       steps of train.py with random weights

Every path runs in its own process; for inference they take turns, so that all see the same load. The
reference path is tests/reference_path.py: the whole affinity matrix, all side outputs, float32.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # for the tests' reference path

from gconet.cli import new_parser  # noqa: E402
from gconet.config import Config  # noqa: E402
from gconet.data.groups import Group, Item, find_pictures  # noqa: E402
from gconet.data.toy import make_toy_set  # noqa: E402
from gconet.errors import ConfigError, GCoNetError, run_command  # noqa: E402

REFERENCE, WARM = "reference path", 20  # WARM: most pictures to warm up on
SETTLED = 10  # steps of train.py on a GPU until its graph is recorded; log lines come up to 8 steps late


def main() -> int:
    args = parse_args()
    import torch

    from gconet.device import pick_device, pick_precision

    args.device = pick_device(args.device)
    if args.path:
        return serve(args)
    on_gpu = args.device.type == "cuda"
    args.precisions = args.precisions or ["fp32", *(["tf32"] if on_gpu else []), "bf16"]
    for precision in args.precisions:
        pick_precision(precision, args.device)
    device = torch.cuda.get_device_name() if on_gpu else platform.processor() or platform.machine()
    print(f"{device}, {os.cpu_count()} cores; torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as work:
        globals()[f"benchmark_{args.subject}"](args, Path(work))
    return 0


def benchmark_inference(args: Namespace, work: Path) -> None:
    """Print each path's time, throughput, memory and ratio, and how its maps differ from the reference's."""
    files = find_pictures(args.images) if args.images.is_dir() else []
    if not files:
        raise ConfigError(f"--images {args.images} is not a folder of pictures; name the folder of one group")
    print(f"weights: {args.checkpoint or 'random'}; pictures: {args.images}")
    for count in args.groups:
        folder = work / str(count)
        (folder / "pictures").mkdir(parents=True)
        for i in range(count):  # repeated if there are fewer
            path = files[i % len(files)].resolve()
            (folder / f"pictures/{i:05d}{path.suffix}").symlink_to(path)
        print(f"group of {count}, files to files, ", end="", flush=True)
        compare([REFERENCE] * (not args.ours) + args.precisions, folder, args.repeats, images=count)
        for precision in args.precisions if args.checkpoint and not args.ours else ():  # random maps are flat
            pairs = [(path, folder / precision / path.name) for path in (folder / REFERENCE).iterdir()]
            values = [[np.asarray(Image.open(path), int) for path in pair] for pair in pairs]
            apart = np.concatenate([np.abs(theirs - ours).ravel() for theirs, ours in values])
            largest = f"largest {apart.max():g} of 255 grey levels"
            print(f"maps, {precision}: mean absolute difference {apart.mean() / 255:.5f}, {largest}")


def benchmark_train(args: Namespace, work: Path) -> None:
    """Print the time of the reference path's bare step and of train.py's steps, from files to checkpoints."""
    on_gpu = args.device.type == "cuda"
    steps, images = args.steps or (200 if on_gpu else 6), 2 * args.group
    make_toy_set(work, "toy", classes=8, images_per_class=args.group, size=args.size)
    own = f"data.image_size={args.size} data.group_size={args.group} train.device={args.device}"
    settings = f"data.root={work} data.train_set=toy encoder.weights=none train.epochs=1000 {own}".split()
    print(f"training step, random weights, 2 x {args.group} images, ", end="", flush=True)
    reference = compare([REFERENCE], work, args.repeats, images=images)
    print(f"train.py, {steps} steps")
    for precision, cache, graph in product(args.precisions, args.caches, ["true"] * on_gpu + ["false"]):
        name = f"ours, {precision}, cache {cache}, graph {graph}"
        variant = [f"train.precision={precision}", f"data.cache={cache}", f"train.graph={graph}"]
        command = [str(ROOT / "train.py"), *settings, *variant, f"train.steps={steps}", f"name={name}"]
        done = subprocess.run([sys.executable, *command], cwd=work, capture_output=True, text=True)
        if done.returncode:
            raise GCoNetError(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
        records = map(json.loads, (work / "runs" / name / "log.jsonl").read_text().splitlines())
        timed = [r for r in records if r["event"] == "step"][min(SETTLED, steps // 3) :]  # not the first ones
        seconds = [images / r["images_per_second"] for r in timed]
        print_row(name, seconds, images, max(r["memory_gib"] for r in timed), reference)


def compare(paths: Sequence[str], work: Path, repeats: int, *, images: int) -> float:
    """Time all paths in turn, each in its own process; print their rows; return the first one's median."""
    command = [sys.executable, __file__, *sys.argv[1:], "--work", str(work), "--path"]
    start = partial(subprocess.Popen, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    times: dict[str, list[list[float]]] = {path: [] for path in paths}  # seconds and GiB of each run
    with ExitStack() as stack:
        children = {path: stack.enter_context(start([*command, path])) for path in paths}
        for turn, (path, child) in product(range(-1, repeats), children.items()):
            print(file=child.stdin)
            line = child.stdout.readline() if child.stdout else ""
            if not line:
                raise GCoNetError(f"{path}: its process ended, see above")
            times[path] += [json.loads(line)] * (turn >= 0)  # the first turn warms up
    print(f"medians of {repeats} runs (fastest to slowest)")
    first = median(seconds for seconds, _ in times[paths[0]])
    for path, runs in times.items():
        name = path if path == REFERENCE else f"ours, {path}"
        print_row(name, [seconds for seconds, _ in runs], images, runs[-1][1], first)
    return first


def print_row(name: str, seconds: list[float], images: int, peak: float, reference: float) -> None:
    """Print a path's median time, images per second, GiB and ratio to the reference path's seconds."""
    middle, spread = median(seconds), f"({1e3 * min(seconds):.1f} to {1e3 * max(seconds):.1f})"
    speed = f"{images / middle:9.2f} images/s{peak:7.2f} GiB{reference / middle:7.2f} times as fast"
    print(f"{name:38}{1e3 * middle:9.1f} ms {spread}{speed}", flush=True)


def serve(args: Namespace) -> int:
    """Prepare --path in this process; then run it for each line of stdin, and print its seconds and GiB."""
    import torch

    from gconet.device import peak_memory, pick_precision

    pick_precision("fp32" if args.path == REFERENCE else args.path, args.device)
    run = prepare(args)
    for turn, _ in enumerate(sys.stdin):
        start = time.perf_counter()
        run(None if turn else WARM)
        if args.device.type == "cuda":
            torch.cuda.synchronize(args.device)
        print(json.dumps([time.perf_counter() - start, peak_memory(args.device)]), flush=True)
    return 0


def prepare(args: Namespace) -> Callable[[int | None], object]:
    """Return what --path times, from picture files to map files or a training step of the reference path; its
    argument is the number of pictures, None for all."""
    import torch

    from gconet.checkpoint import find_checkpoint, load_model
    from gconet.inference.folders import write_maps
    from gconet.inference.predictor import Predictor
    from gconet.losses import Criterion
    from gconet.models import build_model, build_training_model
    from gconet.models.training import TrainingOutput
    from tests import reference_path

    torch.manual_seed(0)
    if args.subject == "inference":
        given = args.checkpoint and load_model(find_checkpoint(args.checkpoint))[0]
        net = given or build_model(Config()).eval()
        images, output = sorted((args.work / "pictures").iterdir()), args.work / args.path
        output.mkdir()
        if args.path == REFERENCE:
            state = {name: tensor.to(args.device) for name, tensor in net.state_dict().items()}
            return lambda count: reference_path.predict_files(state, images[:count], output, args.size)
        predictor = Predictor(net, size=args.size, device=str(args.device), precision=args.path)
        items = tuple(Item(stem=path.stem, image=path) for path in images)
        return lambda count: write_maps(predictor, [Group(output.name, items[:count])], output.parent)

    model = build_training_model(Config(), classes=8).to(args.device)
    x = torch.rand(2 * args.group, 3, args.size, args.size, device=args.device)
    masks, labels = x[:, :1].round(), torch.arange(2, device=args.device).repeat_interleave(args.group)
    state = {name.removeprefix("net."): p for name, p in model.named_parameters()}
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 1e-4, (0.9, 0.99))
    criterion = Criterion(**vars(Config().loss))

    def step(count: int | None) -> None:
        sides, logits, classes = reference_path.train_pair(state, (x - model.net.mean) / model.net.std)
        output = TrainingOutput(tuple(sides), logits, classes, logits, sides[-1].logit())
        optimizer.zero_grad()
        criterion.total(criterion(output, masks, labels)).backward()
        optimizer.step()

    return step


def parse_args() -> Namespace:
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("subject", choices=("inference", "train"))
    add("--device", default="auto", help="default auto")
    add("--precisions", nargs="+", help="default fp32 bf16, on a GPU fp32 tf32 bf16")
    add("--size", type=whole, default=224, help="network input in pixels (default 224)")
    add("--repeats", type=whole, default=5, help="timed runs of each path (default 5)")
    add("--checkpoint", help="weights for inference (default: random ones)")
    add("--images", type=Path, default=ROOT / "data/demo/images/guitar", help="pictures for inference")
    add("--groups", type=whole, nargs="+", default=[2, 20], help="group sizes of inference (default 2 20)")
    add("--ours", action="store_true", help="skip the reference path, which takes gigabytes for 100 pictures")
    add("--group", type=whole, default=16, help="images in each of two groups in training (default 16)")
    add("--steps", type=whole, help="of train.py (default 200 on a GPU, 6 on a CPU)")
    add("--caches", nargs="+", default=["device"], help="data.cache of train.py (default device)")
    add("--path", help=argparse.SUPPRESS)  # of a child process
    add("--work", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def whole(text: str) -> int:
    """Convert an argument to a number of 1 or more; argparse names one for which this raises ValueError."""
    return int(text) if text.strip("0").isdecimal() else int("below 1")


if __name__ == "__main__":
    run_command(main)
