"""The parts of benchmark.py that time the network, each path in a process of its own."""

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from gconet.errors import ConfigError, DataError

INFERENCE = """\
Time groups of pictures from files to maps on disk (or, with --network, from pixels in memory to
maps in memory). Every path has a process of its own, as when started by hand; they take turns, so
that all meet the same load, and come after a warm-up. The reference path is
scripts/reference_path.py: the whole affinity matrix, all side outputs, float32."""

TRAIN = """\
Time training steps of the release's recipe on a pair of full groups in memory: forward, losses,
backward, Adam. Reference path and processes as for inference."""

GROUP_SIZE = """\
Time and memory of one group against its size, from files to maps on disk; a process for each size."""


def add_parsers(commands: Any) -> None:
    """Add the sub-commands `inference`, `train` and `group-size`."""
    raw = argparse.RawDescriptionHelpFormatter
    inference = commands.add_parser(
        "inference", help="pictures to maps", description=INFERENCE, formatter_class=raw
    )
    inference.add_argument("--groups", default="2,20", metavar="N,N", help="group sizes (default 2,20)")
    inference.add_argument("--network", action="store_true", help="leave out reading and writing files")
    inference.set_defaults(run=benchmark_inference)
    train = commands.add_parser("train", help="training steps", description=TRAIN, formatter_class=raw)
    train.add_argument("--group", type=int, default=16, help="images in each of two groups (default 16)")
    train.set_defaults(run=benchmark_train)
    size = commands.add_parser(
        "group-size", help="time and memory against N", description=GROUP_SIZE, formatter_class=raw
    )
    size.add_argument("--sizes", default="1,2,20,100,300,1000", metavar="N,N", help="default %(default)s")
    size.add_argument("--memory", type=float, metavar="GIB", help="as for test.py")
    size.set_defaults(run=benchmark_group_size)
    for parser in (inference, train, size):
        parser.add_argument("--device", default="auto", help="default %(default)s")
        parser.add_argument("--precisions", default="fp32,bf16", metavar="P,P", help="default %(default)s")
        parser.add_argument("--size", type=int, default=224, help="network input in pixels (default 224)")
        parser.add_argument("--repeats", type=int, default=5, help="timed runs of each path (default 5)")
    for parser in (inference, size):
        parser.add_argument("--checkpoint", type=Path, help="weights (default: random ones)")
        parser.add_argument("--images", type=Path, help="a folder of pictures (default: made-up ones)")


def benchmark_inference(args: argparse.Namespace) -> None:
    """Print each path's median time, throughput, memory and ratio, and how its maps differ."""
    for count in _numbers("--groups", args.groups):
        with tempfile.TemporaryDirectory() as folder:
            images = _pictures(args.images, Path(folder), count)
            common = {"images": images, "checkpoint": args.checkpoint, "device": args.device}
            common |= {"size": args.size, "network": args.network}
            builds: dict[str, tuple[Callable, dict]] = {
                "reference path": (_build_reference, common | {"output": Path(folder) / "reference"})
            }
            for precision in args.precisions.split(","):
                options = {"precision": precision, "output": Path(folder) / precision}
                builds[f"ours, {precision}"] = (_build_ours, common | options)
            print(f"group of {count}, {'network alone' if args.network else 'files to files'}, ", end="")
            _compare(builds, args.repeats, count)
            for precision in [] if args.network else args.precisions.split(","):
                print(f"maps, {precision}: {_difference(Path(folder), precision)}")


def benchmark_train(args: argparse.Namespace) -> None:
    """Print each path's median time of a step, throughput, memory and ratio."""
    common = {"group": args.group, "size": args.size, "device": args.device}
    builds: dict[str, tuple[Callable, dict]] = {"reference path": (_build_reference_step, common)}
    for precision in args.precisions.split(","):
        builds[f"ours, {precision}"] = (_build_step, common | {"precision": precision})
    print(f"training step, 2 x {args.group} images, ", end="")
    _compare(builds, args.repeats, 2 * args.group)


def benchmark_group_size(args: argparse.Namespace) -> None:
    """Print a table of group size against time and memory."""
    for precision in args.precisions.split(","):
        print(f"ours, {precision}, files to files\n{'N':>6}{'seconds':>10}{'images/s':>10}{'peak GiB':>10}")
        for count in _numbers("--sizes", args.sizes):
            with tempfile.TemporaryDirectory() as folder:
                images = _pictures(args.images, Path(folder), count)
                memory = None if args.memory is None else int(args.memory * 2**30)
                options = {"images": images, "checkpoint": args.checkpoint, "device": args.device}
                options |= {"size": args.size, "network": False, "precision": precision, "memory": memory}
                warm = min(count, 2)  # a small group, so that a large one need not run twice
                with Worker(_build_ours, options | {"output": Path(folder) / "maps", "warm": warm}) as worker:
                    seconds, peak = worker.run()
            print(f"{count:6}{seconds:10.2f}{count / seconds:10.2f}{peak:10.2f}", flush=True)


def _compare(builds: dict[str, tuple[Callable, dict]], repeats: int, images: int) -> None:
    """Run all paths in turns; print their medians and the ratio to the first one."""
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
        print(
            f"{name:16}{1e3 * middle:9.1f} ms ({1e3 * min(values):.1f} to {1e3 * max(values):.1f})"
            f"{images / middle:9.2f} images/s{peaks[name]:7.2f} GiB{reference / middle:7.2f} times as fast",
            flush=True,
        )


class Worker:
    """A process that builds a path, warms it up and then runs it on demand."""

    def __init__(self, build: Callable[..., Callable[[], object]], options: dict[str, Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, build, options), daemon=True)
        self.process.start()
        theirs.close()
        self._receive()

    def run(self) -> tuple[float, float]:
        """Seconds of one run, and the GiB at most held so far (by PyTorch on a GPU, else by the process)."""
        self.pipe.send(True)
        return self._receive()

    def _receive(self) -> tuple[float, float]:
        try:
            spent: tuple[float, float] = self.pipe.recv()
        except EOFError:
            raise DataError("a benchmark process failed; its message is above") from None
        return spent

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.pipe.close()
        self.process.join()


def _serve(pipe: Connection, build: Callable[..., Callable[[], object]], options: dict[str, Any]) -> None:
    import torch

    from gconet.device import peak_memory, pick_device

    device = pick_device(options["device"])
    run = build(**options)
    pipe.send((0.0, 0.0))
    while True:
        try:
            pipe.recv()
        except EOFError:
            return
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        pipe.send((time.perf_counter() - start, peak_memory(device)))


def _build_reference(
    images: list[Path], output: Path, checkpoint: Path | None, device: str, size: int, network: bool
) -> Callable[[], object]:
    import reference_path
    import torch

    from gconet.device import pick_device, pick_precision

    where = pick_device(device)
    pick_precision("fp32", where)
    state = {n: t.to(where) for n, t in _model(checkpoint).state_dict().items()}
    output.mkdir()
    if network:
        x = torch.rand(len(images), 3, size, size, device=where)

        def run() -> None:
            with torch.no_grad():
                reference_path.side_maps(state, *reference_path.features(state, x))

    else:

        def run() -> None:
            reference_path.predict_files(state, images, output, size)

    run()
    return run


def _build_ours(
    images: list[Path],
    output: Path,
    checkpoint: Path | None,
    device: str,
    size: int,
    network: bool,
    precision: str,
    memory: int | None = None,
    warm: int | None = None,
) -> Callable[[], object]:
    import torch

    from gconet.data.groups import Group, Item
    from gconet.device import autocast, pick_device, pick_precision
    from gconet.inference import dump_maps, prepare

    where = pick_device(device)
    dtype = pick_precision(precision, where)
    model = prepare(_model(checkpoint), where, dtype)
    if network:
        x = torch.rand(len(images), 3, size, size, device=where)
        x = x.contiguous(memory_format=torch.channels_last)

        def run(count: int | None = None) -> None:
            with torch.inference_mode(), autocast(where, dtype):
                model(x)

    else:

        def run(count: int | None = None) -> None:
            items = tuple(Item(stem=path.stem, image=path, mask=None) for path in images[:count])
            group = Group(name="", items=items)
            dump_maps(model, [group], output, size=size, precision=dtype, memory=memory)

    run(warm)
    return run


def _model(checkpoint: Path | None) -> Any:
    import torch

    from gconet.checkpoint import load_model
    from gconet.config import Config
    from gconet.models import build_model

    torch.manual_seed(0)
    return (build_model(Config()) if checkpoint is None else load_model(checkpoint)[0]).eval()


def _build_reference_step(group: int, size: int, device: str) -> Callable[[], object]:
    import reference_path
    import torch

    from gconet.config import Config
    from gconet.device import pick_device, pick_precision
    from gconet.losses import Criterion
    from gconet.models.training import TrainingOutput

    where = pick_device(device)
    pick_precision("fp32", where)
    model, images, masks, labels = _training(group, size, where)
    mean, std = (
        torch.tensor(v, device=where).view(3, 1, 1) for v in (reference_path.MEAN, reference_path.STD)
    )
    state = {name.removeprefix("net."): p for name, p in model.named_parameters()}
    optimizer = torch.optim.Adam([p for p in state.values() if p.requires_grad], lr=1e-4, betas=(0.9, 0.99))
    criterion = Criterion(**vars(Config().loss))

    def run() -> float:
        sides, logits, classes = reference_path.train_pair(state, (images - mean) / std)
        output = TrainingOutput(tuple(sides), logits, classes, attention=logits)  # type: ignore[arg-type]
        loss = criterion.total(criterion(output, masks, labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    run()
    return run


def _build_step(group: int, size: int, device: str, precision: str) -> Callable[[], object]:
    import torch

    from gconet.config import Config
    from gconet.device import autocast, pick_device, pick_precision
    from gconet.losses import Criterion

    where = pick_device(device)
    dtype = pick_precision(precision, where)
    model, images, masks, labels = _training(group, size, where)
    model = model.to(memory_format=torch.channels_last)
    images = images.contiguous(memory_format=torch.channels_last)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=1e-4, betas=(0.9, 0.99))
    criterion = Criterion(**vars(Config().loss))

    def run() -> float:
        with autocast(where, dtype):
            output = model(images)
        loss = criterion.total(criterion(output, masks, labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    run()
    return run


def _training(group: int, size: int, device: Any) -> tuple[Any, Any, Any, Any]:
    """The full recipe's network with random weights, and a made-up pair of groups."""
    import torch

    from gconet.config import Config
    from gconet.models import build_training_model

    torch.manual_seed(0)
    model = build_training_model(Config(), classes=291).to(device)
    images = torch.rand(2 * group, 3, size, size)
    masks = (torch.rand(2 * group, 1, size, size) > 0.5).float()
    labels = torch.arange(2).repeat_interleave(group)
    return model, images.to(device), masks.to(device), labels.to(device)


def _pictures(source: Path | None, folder: Path, count: int) -> list[Path]:
    """`count` pictures: of the folder `source`, repeated under new names where it has fewer; or blobs."""
    (folder / "pictures").mkdir()
    files = sorted(p for p in source.iterdir() if p.is_file()) if source else []
    if source and not files:
        raise ConfigError(f"--images {source} holds no files; name one group of pictures")
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
