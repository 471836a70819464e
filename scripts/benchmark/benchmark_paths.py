"""What benchmark.py times, each in a process of its own: the reference path's and our code."""

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

from gconet.errors import DataError, GCoNetError


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
            spent: tuple[float, float] | GCoNetError = self.pipe.recv()
        except EOFError:
            raise DataError("a benchmark process failed; its message is above") from None
        if isinstance(spent, GCoNetError):
            raise spent
        return spent

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.pipe.close()
        self.process.join()


def _serve(pipe: Connection, build: Callable[..., Callable[[], object]], options: dict[str, Any]) -> None:
    import torch

    from gconet.device import peak_memory, pick_device

    try:
        device = pick_device(options["device"])
        run = build(**options)
    except GCoNetError as error:
        pipe.send(error)
        return
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


def build_reference(
    images: list[Path], output: Path, checkpoint: Path | None, device: str, size: int, network: bool
) -> Callable[[], object]:
    """Pictures to maps by the reference path: files to files or, with `network`, in memory."""
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


def build_ours(
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
    """The same by our code; warmed up on the first `warm` pictures, by default on all."""
    import torch

    from gconet.data.groups import Group, Item
    from gconet.device import autocast
    from gconet.predictor import Predictor, write_maps

    predictor = Predictor(_model(checkpoint), size=size, device=device, precision=precision, memory=memory)
    if network:
        x = torch.rand(len(images), 3, size, size, device=predictor.device)
        x = x.contiguous(memory_format=predictor.memory_format)

        def run(count: int | None = None) -> None:
            with torch.inference_mode(), autocast(predictor.device, predictor.precision):
                predictor.model(x)

    else:

        def run(count: int | None = None) -> None:
            items = tuple(Item(stem=path.stem, image=path, mask=None) for path in images[:count])
            group = Group(name=output.name, items=items)
            write_maps(predictor, [group], output.parent)

    run(warm)
    return run


def _model(checkpoint: Path | None) -> Any:
    import torch

    from gconet.checkpoint import load_model
    from gconet.config import Config
    from gconet.models import build_model

    torch.manual_seed(0)
    return (build_model(Config()) if checkpoint is None else load_model(checkpoint)[0]).eval()
