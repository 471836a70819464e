"""`Predictor`: the pictures of one group in, their co-saliency maps out, in bounded memory.

A group goes through the network in small batches, twice: once for its consensus, which needs all of
its images, and once for the maps. Results of the first pass are kept as far as memory allows.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gconet.checkpoint import find_checkpoint, load_model
from gconet.data.pictures import Picture, Pictures, list_pictures, read_groups
from gconet.device import autocast, pick_device, pick_memory_format, pick_precision, tf32
from gconet.errors import ConfigError, DataError
from gconet.inference.memory import plan_group
from gconet.models import GCoNet
from gconet.models.affinity import Consensus, GroupAffinityModule
from gconet.models.decoder import upsample

Map = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Source: TypeAlias = Picture | Sequence[Picture] | Pictures  # one group, as a call takes it or already read


class Maps(list[Map]):
    """The co-saliency maps of a group, in the order of its pictures: (H,W) uint8, each the size of
    its picture after EXIF rotation. Slices and copies are plain lists.

    `names`: file stems (whole file names if two share a stem); "0", "1", … for pictures in memory.
    `presence`: (N,) float32 in [0,1], higher if a picture holds the group's object; NaN for a single picture.
    The commands call a picture a likely stray if it is .2 below its group's median. It is the cosine
    similarity of the picture's stage-5 features, averaged under its map, to the sum of the others', each of
    length 1. docs/distractors.md measures it.
    """

    names: Sequence[str]
    presence: Floats


class Predictor:
    """A trained network with its device, precision and input size. Threads may share it.

        predictor = gconet.Predictor.load()
        maps = predictor("photos/bikes")

    A call takes one group: a folder, or a list of files, PIL pictures and arrays ((H,W,3) RGB or
    (H,W) grey, uint8). It returns `Maps`, a list of the maps with their `names` and `presence`. A pixel is
    floor(255 · co-saliency), 0 is background; `maps[0] >= 128` is a mask. A map has the size of its picture
    after EXIF rotation: PIL.ImageOps.exif_transpose(picture) fits it. Threads take turns, one group at
    a time. Raises DataError for an unreadable picture or an empty group, ConfigError if `memory` is too low.
    """

    _computing = threading.RLock()  # PyTorch's TF32 switches belong to the process

    def __init__(
        self,
        model: GCoNet,
        *,
        size: int = 224,
        device: str | torch.device = "auto",
        precision: str = "auto",
        memory: int | None = None,
    ) -> None:
        """`model` is modified in place for fast inference and cannot be trained afterwards.

        `size`: pixels per side of the network's input, as in training. `device`: auto, cpu, cuda, cuda:1, ….
        `precision`: auto, fp32, tf32 or bf16. `memory`: bytes that a group may take beyond the network.
        Raises ConfigError for anything else.
        """
        if not isinstance(model, GCoNet):
            raise ConfigError(f"{model!r:.80} is not a network; Predictor.load takes names and files")
        for name, value, least in (("size", size, 32), ("memory", memory, 1)):
            if value is not None and not (isinstance(value, Integral) and value >= least):
                raise ConfigError(f"{name}: {value!r:.80} is not a whole number of {least} or more")
        self.device = pick_device(str(device))
        self.tf32 = precision == "tf32"
        self.size, self.memory = size, memory
        with self._computing, tf32(self.tf32):
            self.precision = pick_precision(precision, self.device)
            self.memory_format = pick_memory_format(self.device, self.precision, training=False)
        self.model = model.eval().to(self.device).to(memory_format=self.memory_format)
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):
                layer.to(self.precision)

    @classmethod
    def load(
        cls,
        checkpoint: str | Path = "pretrained",
        *,
        device: str | torch.device = "auto",
        precision: str = "auto",
        memory: int | None = None,
    ) -> "Predictor":
        """Load a checkpoint file, or shipped weights: `distractors` (the default, `pretrained`) or `paper`.

        Raises CheckpointError if the file is missing, damaged or of another architecture.
        """
        model, config = load_model(find_checkpoint(checkpoint))
        size = config.data.image_size
        return cls(model, size=size, device=device, precision=precision, memory=memory)

    def __call__(self, pictures: Picture | Sequence[Picture]) -> Maps:
        """Return the maps of one group; all its pictures are processed together, however many there are."""
        group = self._read(pictures)
        maps = Maps()
        maps.presence = self.predict(group, maps.append)
        maps.names = group.names
        return maps

    def predict(self, pictures: Source, take: Callable[[Map], None]) -> Floats:
        """Call `take` with each map of the group, in order, as soon as it is computed; returns `presence`."""
        group, seen = self._read(pictures), []
        with self._computing:  # the plan depends on the memory that is free now
            missing, kept, deepest, consensus = self._first_pass(group)
            sizes, done = iter(group.sizes), 0
            for laterals, features in zip(kept, deepest, strict=True):
                part = slice(done, done + len(features))
                done = part.stop
                with self._compute():
                    if missing:
                        laterals[:0] = self.model.laterals(
                            self.model.encode(self._images(group.pixels[part]), missing)
                        )
                    maps = self.model.decode(laterals, features, consensus.of(part), (self.size, self.size))
                    grey = [(upsample(m[None], next(sizes))[0, 0] * 255).to(torch.uint8) for m in maps]
                    laterals.clear()
                    seen.append(average_under(features, maps))
                for m in grey:
                    take(m.cpu().numpy())
        return cosine_to_others(torch.cat(seen).cpu().numpy())

    def attention(self, pictures: Source) -> Floats:
        """Return where GAM found the consensus of a group (section 3.2): (N,h,w), the grid of stage 5.

        Each image's values sum to 1, or all images' together if GAM's softmax is over the group. Without GAM
        all values are 1.
        """
        *_, consensus = self._first_pass(self._read(pictures), maps=False)
        return consensus.attention[:, 0].float().cpu().numpy()

    def consensus(self, pictures: Source) -> Floats:
        """Return each image's part of the consensus, (N,C); the consensus is their mean (section 4.3)."""
        *_, deepest, consensus = self._first_pass(self._read(pictures), maps=False)
        with self._compute():
            parts = (torch.cat(deepest) * consensus.attention).mean((2, 3), keepdim=True)
            if isinstance(self.model.affinity, GroupAffinityModule):
                parts = self.model.affinity.output(parts)
        return parts[..., 0, 0].float().cpu().numpy()

    def _read(self, pictures: Source) -> Pictures:
        if isinstance(pictures, Pictures):
            return pictures
        [group] = read_groups([list_pictures(pictures)], self.size)
        return group

    def _first_pass(
        self, group: Pictures, *, maps: bool = True
    ) -> tuple[int, list[list[Tensor]], list[Tensor], Consensus]:
        """Return the number of stages, from the first on, whose laterals are not kept; per batch the other
        stages' laterals, and stage 5; and the consensus. Laterals are needed only for `maps`."""
        if not group.sizes:
            raise DataError("no pictures; a group needs at least one")
        plan = plan_group(
            len(group.sizes), self.size, encoder=self.model.encoder, device=self.device,
            precision=self.precision, memory=self.memory,
            consensus_bytes=getattr(self.model.affinity, "bytes_per_number", None),
        )  # fmt: skip
        missing, kept, deepest = 4 - plan.kept * maps, [], []
        with self._compute():
            for pixels in group.pixels.split(plan.batch):
                *stages, features = self.model.encode(self._images(pixels))
                kept.append(self.model.laterals(stages[missing:], missing + 1))
                deepest.append(features)
                del stages
            return missing, kept, deepest, self.model.consensus(torch.cat(deepest), plan.block)

    @contextmanager
    def _compute(self) -> Iterator[None]:
        with self._computing, tf32(self.tf32), torch.inference_mode(), autocast(self.device, self.precision):
            yield

    def _images(self, pixels: Tensor) -> Tensor:
        """Pixels (n,3,S,S) uint8 → images in [0,1] on the device, in the network's memory layout."""
        if self.device.type == "cuda":
            pixels = pixels.pin_memory()
        images = pixels.to(self.device, non_blocking=True).float().div(255)
        return images.contiguous(memory_format=self.memory_format)


def average_under(features: Tensor, maps: Tensor) -> Tensor:
    """Average features (n,C,h,w) with the maps (n,1,H,W) as weights: (n,C) float32, each of length 1."""
    h, w = features.shape[-2:]
    weights = F.adaptive_avg_pool2d(maps.float(), (h, w))
    return F.normalize((features.float() * weights).mean((2, 3)), dim=1)


def cosine_to_others(vectors: Floats) -> Floats:
    """Vectors (N,C) of length 1 → (N,), the cosine similarity of each to the sum of the others."""
    if len(vectors) < 2:
        return np.full(len(vectors), np.nan, np.float32)
    others = vectors.sum(0) - vectors
    length = np.linalg.norm(others, axis=1).clip(1e-12)
    return np.asarray(((vectors * others).sum(1) / length).clip(0, 1), np.float32)
