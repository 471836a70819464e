"""A training run's folder: settings, log, TensorBoard, checkpoints."""

import contextlib
import json
import math
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

import torch
import torchvision
import yaml
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torchvision.utils import make_grid
from tqdm import tqdm

from gconet import __version__
from gconet.checkpoint import load_state, save_checkpoint
from gconet.config import Config, config_to_dict
from gconet.errors import CheckpointError, ConfigError, GCoNetError
from gconet.lock import hold
from gconet.models.decoder import upsample
from gconet.models.training import TrainingGCoNet, TrainingOutput
from gconet.optimizer import load_optimizer

LAST, BEST = "last.pt", "best.pt"
# What --resume may change: where and how long a run continues, not what it learns.
RESUMABLE = ("train.", "validation.", "data.root=", "data.cache=", "data.workers=")


class Run:
    """`runs/<name>`: config.yaml, log.jsonl, tensorboard/, last.pt and, with validation, best.pt.

    Only the first rank (`main`) writes; on the others every method that writes does nothing.
    """

    def __init__(
        self, folder: Path, config: Config, *, main: bool = True, held: IO[str] | None = None
    ) -> None:
        """`held`: what `hold` returned, if the folder was taken before."""
        self.folder = folder
        self.config = config
        self.main = main
        self._board: SummaryWriter | None = None
        self._held = held

    def start(self, *, first: int, resumed: bool, **facts: Any) -> None:
        """Make the folder, or enter it again at step `first`; log settings, versions and machine.

        Raises ConfigError if another process has made the new run's folder in the meantime.
        After a kill, log.jsonl holds the steps since the last checkpoint twice; the later ones count.
        """
        if not self.main:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=resumed)
        except FileExistsError:
            raise ConfigError(
                f"{self.folder} was made by another process in the meantime; choose name=..."
            ) from None
        self._held = self._held or hold(self.folder)
        settings = yaml.safe_dump(config_to_dict(self.config), sort_keys=False)
        (self.folder / "config.yaml").write_text(settings, encoding="utf-8")
        self._board = SummaryWriter(str(self.folder / "tensorboard"), purge_step=first if resumed else None)
        if not resumed:
            self._board.add_text("config", f"```\n{settings}```")
        log = self.folder / "log.jsonl"
        if log.exists() and not log.read_bytes().endswith(b"\n"):  # a kill cut its last line
            with log.open("a") as file:
                file.write("\n")
        self.log(
            event="start",
            first=first,
            time=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            command=sys.argv,
            **environment(),
            **facts,
        )

    def log(self, **record: Any) -> None:
        """Append one JSON line to log.jsonl."""
        if self.main:
            with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")

    def step(
        self, step: int, epoch: int, terms: dict[str, float], rates: dict[str, float], **speed: float
    ) -> None:
        """Log one step: the named losses (of the first rank's pair), the gradient's norm, learning
        rates, speed and memory."""
        self.log(event="step", step=step, epoch=epoch, **terms, **speed)
        self._scalars(step, "train", {**terms, **rates, **speed})

    def epoch(self, epoch: int, means: dict[str, float]) -> None:
        """Log and print an epoch's mean losses."""
        self.log(event="epoch", epoch=epoch, **means)
        self._print(f"epoch {epoch + 1}", means)

    def validation(self, step: int, epoch: int, scores: dict[str, float]) -> None:
        """Log and print the scores on the held-out set."""
        self.log(event="validation", epoch=epoch, step=step, set=self.config.validation.set, **scores)
        self._scalars(step, "validation", scores)
        self._print(f"step {step}, {self.config.validation.set}", scores)

    def _print(self, what: str, values: dict[str, float]) -> None:
        if self.main:  # past a progress bar, if there is one
            tqdm.write(f"{what}: " + " ".join(f"{name} {value:.4f}" for name, value in values.items()))

    def _scalars(self, step: int, section: str, values: dict[str, float]) -> None:
        if self._board:
            for name, value in values.items():
                self._board.add_scalar(f"{section}/{name}", value, step)

    def picture(self, step: int, images: Tensor, masks: Tensor, output: TrainingOutput) -> None:
        """TensorBoard picture of both groups' first images: image, mask, attention, side maps."""
        if not self._board:
            return
        H, W = images.shape[-2:]
        attention = upsample(output.attention.detach().float(), (H, W))
        attention = attention / attention.amax((1, 2, 3), keepdim=True).clamp_min(1e-12)
        columns = [images, masks, attention, *output.side_maps]
        N2 = len(images)
        chosen = [*range(min(3, N2 // 2)), *range(N2 // 2, min(N2 // 2 + 3, N2))]
        tiles = [column[i].detach().float().expand(3, H, W) for i in chosen for column in columns]
        self._board.add_image("episode", make_grid(tiles, nrow=len(columns)).cpu().clamp(0, 1), step)

    def save(
        self, name: str, model: TrainingGCoNet, optimizer: torch.optim.Optimizer, **progress: Any
    ) -> None:
        """Write the checkpoint `name` atomically, with all that continuing needs."""
        if not self.main:
            return
        heads = {n: t for n, t in model.state_dict().items() if not n.startswith("net.")}
        save_checkpoint(
            self.folder / name,
            config=self.config,
            model=model.net,
            training={"heads": heads, "optimizer": optimizer.state_dict(), **progress},
        )

    def restore(
        self,
        content: dict[str, Any],
        model: TrainingGCoNet,
        optimizer: torch.optim.Adam,
        *,
        expected: dict[str, Any],
    ) -> dict[str, Any]:
        """Load a checkpoint's content into `model` and `optimizer`; returns the saved progress.

        Raises CheckpointError if it does not fit the network or the `expected` progress.
        """
        path = self.folder / LAST
        training = content.get("training")
        if not training:
            raise CheckpointError(f"{path} holds no training state to continue from")
        if not (
            isinstance(training, dict)
            and all(isinstance(training.get(name), dict) for name in ("heads", "optimizer", "sums"))
            and all(isinstance(value, float) for value in training["sums"].values())
            and isinstance(training.get("best"), int | float)
            and isinstance(training.get("step"), int)
            and training["step"] >= 0
        ):
            raise CheckpointError(f"{path}: damaged, its training state is not whole")
        for name, value in expected.items():
            if training.get(name) != value:
                raise CheckpointError(
                    f"{path}: the run's {name} were {summarise(training.get(name))}, now "
                    f"{summarise(value)}; continue it on the same"
                )
        validated = content["config"].get("validation", {}).get("set")
        if validated != self.config.validation.set:
            training["best"] = -math.inf
        state = {f"net.{name}": tensor for name, tensor in content["model"].items()}
        load_state(model, {**state, **training.pop("heads")}, path)
        try:
            load_optimizer(optimizer, training.pop("optimizer"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{path}: damaged, not this network's optimizer state ({error})") from None
        return dict(training)

    def close(self, **record: Any) -> None:
        """Write the log's last line and flush TensorBoard."""
        self.log(**record)
        if self._board:
            self._board.close()

    def fail(self, error: Exception) -> Exception:
        """Log why the run ended, as far as the disk allows; returns the error to raise.

        Those that machines make (no memory, a dead loader process, a full disk) become one line
        that says how to resume; others stay as they are.
        """
        if self._board is None:
            return error  # not yet in the folder, or not the first rank
        text = " ".join(str(error).split())
        with contextlib.suppress(OSError):
            self.close(event="failed", error=f"{type(error).__name__}: {text[:2000]}")
        advice = f"python train.py --resume {self.folder} resumes from its last checkpoint"
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in text:
            return GCoNetError(
                f"out of memory ({text[:200]}); free some, or lower data.workers or data.cache; {advice}"
            )
        if isinstance(error, RuntimeError) and "DataLoader" in text:
            return GCoNetError(
                f"a loader process failed ({text[:200]}), often for lack of memory; {advice}, with "
                "data.workers=0 in this process"
            )
        if isinstance(error, OSError):
            where = f"{error.filename}: " if error.filename else ""
            return GCoNetError(f"{where}{error.strerror or error}; fix this; {advice}")
        return error


def summarise(value: Any) -> str:
    """`value` for a message: a long list by its length."""
    return f"a list of {len(value)}" if isinstance(value, list) else str(value)


def environment() -> dict[str, str]:
    """Versions, git revision and hardware."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        revision = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        revision = ""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "gconet": __version__,
        "git": revision or "unknown",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "gpu": gpu,
        "cpu": f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads",
    }
