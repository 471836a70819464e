"""A training run's folder (settings, log, checkpoints, TensorBoard), its lock, and stop signals."""

import contextlib
import json
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
import yaml
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torchvision.utils import make_grid
from tqdm import tqdm

from gconet import __version__
from gconet.checkpoint import save_checkpoint
from gconet.config import Config, config_to_dict
from gconet.device import gpu_name, runs_ahead
from gconet.errors import GCoNetError
from gconet.files import hold
from gconet.models.decoder import upsample
from gconet.models.training import TrainingGCoNet, TrainingOutput

LAST, BEST = "last.pt", "best.pt"
EVERY = 16  # steps between the checks by which ranks on GPUs agree on a stop
NO_MEMORY = ("can't allocate memory", "backend out of memory", "inline_container")  # PyTorch: CPU, mps, save


class Run:
    """`runs/<name>`: config.yaml, log.jsonl, tensorboard/, last.pt and, with validation, best.pt.

    Only the first rank (`main`) writes. Use it in `with`: an exception is logged; out of memory and a full
    disk become one line that says how to resume.
    """

    def __init__(self, folder: Path, *, main: bool = True, resumed: bool = False) -> None:
        """Raises ConfigError if a `resumed` run's folder is in use by another process."""
        self.folder, self.main, self.resumed = folder, main, resumed
        self._lock = hold(folder / ".lock") if main and resumed else None
        self._board: SummaryWriter | None = None

    def start(self, config: Config, *, first: int, **facts: Any) -> None:
        """Create the folder, or resume in it at step `first`; log settings, versions and machine.

        Raises FileExistsError if another process has just created a new folder. After a kill, log.jsonl
        has the steps since the last checkpoint twice; the later ones count.
        """
        self.config = config
        if not self.main:
            return
        self.folder.mkdir(parents=True, exist_ok=self.resumed)
        self._lock = self._lock or hold(self.folder / ".lock")
        settings = yaml.safe_dump(config_to_dict(config), sort_keys=False)
        (self.folder / "config.yaml").write_text(settings, encoding="utf-8")
        self._board = SummaryWriter(str(self.folder / "tensorboard"), purge_step=first or None)
        log = self.folder / "log.jsonl"
        if log.exists() and not log.read_bytes().endswith(b"\n"):  # a kill cut off its last line
            with log.open("a") as file:
                file.write("\n")
        began = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        self.log(event="start", first=first, time=began, command=sys.argv, **environment(), **facts)

    def log(self, **record: Any) -> None:
        """Append one JSON line to log.jsonl."""
        if self.main:
            with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")

    def scalars(self, step: int, section: str, values: dict[str, float]) -> None:
        """Add to TensorBoard's curves `<section>/<name>`."""
        if self._board:
            for name, value in values.items():
                self._board.add_scalar(f"{section}/{name}", value, step)

    def report(self, what: str, values: dict[str, float], **record: Any) -> None:
        """Log the `record` with its `values`, and print the values after `what`."""
        self.log(**record, **values)
        self.say(f"{what}: " + " ".join(f"{name} {value:.4f}" for name, value in values.items()))

    def say(self, text: str) -> None:
        """Print a line without breaking a progress bar."""
        if self.main:
            tqdm.write(text)
            sys.stdout.flush()

    def picture(self, step: int, images: Tensor, masks: Tensor, output: TrainingOutput) -> None:
        """Add both groups' first images to TensorBoard: image, mask, attention, side maps from p4 to p1."""
        if not self._board:
            return
        H, W = images.shape[-2:]
        attention = upsample(output.attention.detach().float(), (H, W))
        attention = attention / attention.amax((1, 2, 3), keepdim=True).clamp_min(1e-12)
        columns = [images, masks, attention, *output.side_maps]
        n = len(images) // 2
        chosen = [*range(n)[:3], *range(n, 2 * n)[:3]]
        tiles = [column[i].detach().float().expand(3, H, W) for i in chosen for column in columns]
        self._board.add_image("episode", make_grid(tiles, nrow=len(columns)).clamp(0, 1), step)

    def save(self, name: str, model: TrainingGCoNet, **training: Any) -> None:
        """Write the checkpoint `name` atomically, with everything needed to resume."""
        if self.main:
            training["heads"] = {n: t for n, t in model.state_dict().items() if not n.startswith("net.")}
            save_checkpoint(self.folder / name, config=self.config, model=model.net, training=training)

    def close(self, **record: Any) -> None:
        """Write the last line of the log, and close TensorBoard's file."""
        self.log(**record)
        if self._board:
            self._board.close()

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if self._board is None or not isinstance(error, Exception):
            return  # not yet in the folder, or not the first rank
        text = " ".join(str(error).split())
        with contextlib.suppress(OSError):
            self.close(event="failed", error=f"{type(error).__name__}: {text[:2000]}")
        advice = f"then run python train.py --resume {self.folder} to resume from the last checkpoint"
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or any(sign in text for sign in NO_MEMORY):
            hint = "free memory, or change data.workers or data.cache"
            raise GCoNetError(f"out of memory ({text[:200]}); {hint}; {advice}") from None
        if isinstance(error, OSError):  # a full disk has no file name
            where = error.filename or f"{self.folder}/"
            raise GCoNetError(f"{where}: {error.strerror or error}; fix this; {advice}") from None


def environment() -> dict[str, str]:
    """Return versions, git revision and hardware."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    revision = ""
    with contextlib.suppress(OSError):
        revision = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    versions = {"gconet": __version__, "git": revision or "unknown", "python": platform.python_version()}
    cpu = f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
    return {**versions, "torch": torch.__version__, "gpu": gpu_name(), "cpu": cpu}


class StopSignal:
    """SIGINT and SIGTERM ask the loop to save and exit after its step; a second one quits immediately."""

    def __init__(self, *, device: torch.device, world: int) -> None:
        self.signum = 0
        self._device, self._world = device, world
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, self._receive)

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        signal.signal(signum, signal.default_int_handler)
        self.signum = signum
        print("stopping after this step; press Ctrl-C again to quit immediately", file=sys.stderr)

    def agreed(self, step: int) -> int:
        """Return the signal's number or 0, the same on all ranks, so that none waits for one that has exited.
        Ranks on GPUs ask each other only every `EVERY` steps, because the host has to wait for the answer."""
        if self._world == 1:
            return self.signum
        if runs_ahead(self._device) and step % EVERY:
            return 0
        shared = torch.tensor(self.signum, device=self._device)
        dist.all_reduce(shared, dist.ReduceOp.MAX)
        return int(shared)
