"""`Predictor`: the pictures of one group in, their co-saliency maps out, in bounded memory.

A group goes through the network twice, in batches: for its consensus, which needs all of its images, and for
the maps. Results of the first pass are kept as far as memory allows."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gconet.checkpoint import digest_weights, find_checkpoint, load_model
from gconet.data.ahead import lock
from gconet.data.pictures import Picture, Pictures, list_pictures, name_pictures, read_groups, read_parts
from gconet.device import autocast, pick_device, pick_memory_format, pick_precision, put, settle_threads, tf32
from gconet.errors import ConfigError
from gconet.inference.memory import Plan, known_memory, plan_group
from gconet.inference.presence import Floats, Map, Maps, average_under, cosine_to_others, presence_of
from gconet.inference.reference import Reference, is_saved
from gconet.models import GCoNet
from gconet.models.affinity import Consensus, GroupAffinityModule
from gconet.models.decoder import upsample

Given: TypeAlias = Picture | Sequence[Picture]  # one group, as a call takes it
Source: TypeAlias = Given | Pictures  # or already read
Take: TypeAlias = Callable[[Map], None]
Sizes: TypeAlias = Sequence[tuple[int, int]]  # (H,W)
Batch: TypeAlias = tuple[slice, list[Tensor], Tensor]  # its place in the group, laterals, stage 5
Model: TypeAlias = Source | Reference  # the object to find: pictures of it, or what was made from them
PART = 16  # pictures that are read together, and on a GPU computed together, if each stands alone


class Predictor:
    """A trained network with its device, precision and input size. Threads may share it; they take turns.

        maps = gconet.Predictor.load()("photos/bikes")

    A call takes one group: a folder, or a list of files, PIL pictures and arrays ((H,W,3) RGB or
    (H,W) grey, uint8). It returns `Maps`, a list of the maps with their `names` and `presence`. A pixel is
    floor(255 · co-saliency), 0 is background; `maps[0] >= 128` is a mask. A map has its picture's size after
    EXIF rotation (PIL.ImageOps.exif_transpose). Raises DataError for an unreadable picture or an empty group.
    """

    def __init__(
        self,
        model: GCoNet,
        *,
        size: int = 224,
        device: str | torch.device = "auto",
        precision: str = "auto",
        memory: int | None = None,
        consensus: str = "group",
    ) -> None:
        """`model` is modified in place for fast inference and cannot be trained afterwards. A network that
        torch.compile returned runs uncompiled: a predictor calls its parts one by one.

        `size`: pixels per side of the network's input, as in training. `device`: auto, cpu or an accelerator,
        such as mps. `precision`: auto, fp32, tf32, bf16 or fp16; see `gconet.device.pick_precision`.
        `memory`: bytes that a group may take beyond the network. `consensus`: group, E of the whole group as
        in the paper; or vote, for cluttered groups. Raises ConfigError for anything else.
        """
        model = getattr(model, "_orig_mod", model)  # before torch.compile
        if not isinstance(model, GCoNet):
            raise ConfigError(f"{model!r:.80} is not a network; Predictor.load takes names and files")
        for name, value, least in (("size", size, 32), ("memory", memory, 1)):
            if value is not None and not (isinstance(value, Integral) and value >= least):
                raise ConfigError(f"{name}: {value!r:.80} is not a whole number of {least} or more")
        self.voting = consensus == "vote" and isinstance(model.affinity, GroupAffinityModule)
        if not self.voting and consensus != "group":
            raise ConfigError(f"consensus: {consensus!r:.80} is not group, or vote for a network with GAM")
        self.device = pick_device(str(device))
        self.size, self.memory, self.tf32 = size, memory, precision == "tf32"
        settle_threads(self.device)
        with lock("compute"), tf32(self.tf32):
            self.precision = pick_precision(precision, self.device)
            self.memory_format = pick_memory_format(self.device, self.precision, training=False)
        self.model = model.float().eval().to(self.device).to(memory_format=self.memory_format)
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):
                layer.to(self.precision)

    @classmethod
    def load(cls, checkpoint: str | Path = "pretrained", **options: Any) -> "Predictor":
        """Load a checkpoint file, or shipped weights: `distractors` (the default, `pretrained`) or `paper`.

        `options`: device, precision, memory and consensus, as above. Raises CheckpointError if the file is
        missing, damaged or of another architecture.
        """
        model, config = load_model(find_checkpoint(checkpoint))
        return cls(model, size=config.data.image_size, **options)

    def __call__(
        self, pictures: Given, *, reference: Model | None = None, include_group: bool = False
    ) -> Maps:
        """Return the maps of a group. `reference`: clear pictures of the object to find, like `pictures`, or
        what `remember` made of them, or its file; then a map does not depend on the other pictures, unless
        `include_group`, which uses the mean of both E. Raises ConfigError if `memory` is too low for the
        group, or other weights made the reference."""
        listed, maps = list_pictures(pictures), Maps()
        maps.presence = self.predict(listed, maps.append, reference=reference, include_group=include_group)
        maps.names = name_pictures(listed)
        return maps

    def predict(
        self, pictures: Source, take: Take, *, reference: Model | None = None, include_group: bool = False
    ) -> Floats:
        """Call `take` with each map of the group, in order, as soon as it is computed; returns `presence`.
        With only a `reference`, files are read a few at a time: a thousand need no more memory than ten."""
        if reference is None:
            return cosine_to_others(self._whole(pictures, take)[1])
        known = self.recall(reference)
        return presence_of(self.find(pictures, take, known, include_group), known.appearance)

    def find(self, pictures: Source, take: Take, known: Reference, include_group: bool = False) -> Floats:
        """`predict` for a part of a folder; returns (N,C) for `presence_of`, which compares all parts."""
        vector = torch.from_numpy(known.vector).to(self.device).view(1, -1, 1, 1)
        return self._whole(pictures, take, vector)[1] if include_group else self._each(pictures, take, vector)

    def remember(self, pictures: Source, name: str = "") -> Reference:
        """Return what `pictures` have in common; raises ConfigError if their E is not one vector."""
        E, seen = self._whole(pictures, lambda m: None)
        if E.numel() != seen.shape[1]:
            raise ConfigError("gam.kind: this consensus is not one vector, so it cannot use references")
        look = seen.sum(0) / np.linalg.norm(seen.sum(0)).clip(1e-12)
        name = name or (str(pictures) if isinstance(pictures, str | Path) else f"{len(seen)} pictures")
        return Reference(E.flatten().float().cpu().numpy(), look, name, self.digest)

    def recall(self, reference: Model) -> Reference:
        """Return a reference made from pictures, or loaded; raises ConfigError if other weights made it."""
        if isinstance(reference, str | Path) and is_saved(Path(reference)):
            reference = Reference.load(reference)
        return reference.of(self.digest) if isinstance(reference, Reference) else self.remember(reference)

    @cached_property
    def digest(self) -> str:
        """The weights and the input size as 16 hexadecimal digits, the same for all precisions."""
        return f"{digest_weights(self.model)}-{self.size}"

    def _whole(self, pictures: Source, take: Take, other: Tensor | None = None) -> tuple[Tensor, Floats]:
        """Decode a group with its own E, or with the mean of that and `other`; returns E and `_decode`'s."""
        group, seen = self._read(pictures), []
        with lock("compute"):  # the plan depends on the memory that is free now
            kept, consensus = self._first_pass(group)
            if self.voting:
                from gconet.inference.vote import vote  # here: it loads OpenCV

                with self._compute():
                    batches = (batch[1:] for batch in self._complete(group, kept))
                    consensus = consensus._replace(vector=vote(self.model, batches, consensus, self.size))
            if other is not None:
                consensus = consensus._replace(vector=(consensus.vector + other) / 2)
            for part, laterals, features in self._complete(group, kept):
                seen.append(self._decode(laterals, features, consensus.of(part), group.sizes[part], take))
        return consensus.vector, np.concatenate(seen)

    def _complete(self, group: Pictures, kept: list[Batch]) -> Iterator[Batch]:
        """Yield the batches with all four laterals; those that were not kept are computed again."""
        for part, laterals, features in kept:
            missing, pixels = 4 - len(laterals), group.pixels[part]
            with self._compute():
                stages = self.model.encode(self._images(pixels), missing) if missing else []
                laterals = [*self.model.laterals(stages), *laterals]
            yield part, laterals, features

    def _each(self, pictures: Source, take: Take, vector: Tensor) -> Floats:
        """Decode each picture by itself with E = `vector`; another size of batch would round differently."""
        n, seen = 1 if self.device.type == "cpu" else PART, []
        read = [pictures] if isinstance(pictures, Pictures) else read_parts(pictures, self.size, PART)
        for group in read:
            for pixels, i in zip(group.pixels.split(n), range(0, len(group.sizes), n), strict=True):
                with self._compute():
                    pixels = F.pad(pixels, (0, 0, 0, 0, 0, 0, 0, n - len(pixels)))
                    *stages, features = self.model.encode(self._images(pixels))
                    laterals, E = self.model.laterals(stages), vector.to(features.dtype)
                seen.append(self._decode(laterals, features, E, group.sizes[i : i + n], take))
        return np.concatenate(seen)

    def _decode(
        self, laterals: list[Tensor], features: Tensor, E: Tensor, sizes: Sizes, take: Take
    ) -> Floats:
        """Decode a batch, which may be padded, to maps of `sizes`; returns `average_under` them, (n,C)."""
        with self._compute():
            maps = self.model.decode(laterals, features, E, (self.size, self.size))
            scaled = [upsample(m[None], size)[0, 0] for m, size in zip(maps, sizes, strict=False)]
            grey = [(m * 255).to(torch.uint8) for m in scaled]
            laterals.clear()
            seen = average_under(features, maps)[: len(sizes)]
        found = self._finite(seen)
        for m in grey:
            take(m.cpu().numpy())
        return found

    def _finite(self, numbers: Tensor) -> Floats:
        """Return what the network computed as float32; raises ConfigError if it is not finite."""
        if not (found := numbers.float().cpu()).isfinite().all():
            raise ConfigError(f"precision: numbers of this network exceed {self.precision}; use fp32")
        return np.asarray(found)

    def attention(self, pictures: Source) -> Floats:
        """Return where GAM found the consensus of a group (section 3.2): (N,h,w), the grid of stage 5. Each
        image's values sum to 1; if GAM's softmax is over the group, all together. Without GAM all are 1."""
        _, consensus = self._first_pass(self._read(pictures), maps=False)
        return self._finite(consensus.attention[:, 0])

    def consensus(self, pictures: Source) -> Floats:
        """Return each image's part of the consensus, (N,C); the consensus is their mean (section 4.3)."""
        batches, consensus = self._first_pass(self._read(pictures), maps=False)
        with self._compute():
            features = torch.cat([features for *_, features in batches])
            parts = (features * consensus.attention).mean((2, 3), keepdim=True)
            if isinstance(self.model.affinity, GroupAffinityModule):
                parts = self.model.affinity.output(parts)
        return self._finite(parts[..., 0, 0])

    def _read(self, pictures: Source) -> Pictures:
        if isinstance(pictures, Pictures):
            return pictures
        self.check(len(files := list_pictures(pictures)))
        [group] = read_groups([files], self.size)
        return group

    def check(self, images: int) -> None:
        """Raise ConfigError if a group of so many `images` needs more memory than is allowed or free."""
        self._plan(images, self.memory or known_memory(self.device))

    def _plan(self, images: int, memory: int | None) -> Plan:
        return plan_group(
            images, self.size, encoder=self.model.encoder, device=self.device, precision=self.precision,
            memory=memory, consensus_bytes=getattr(self.model.affinity, "bytes_per_number", None),
        )  # fmt: skip

    def _first_pass(self, group: Pictures, *, maps: bool = True) -> tuple[list[Batch], Consensus]:
        """Encode a group and find its consensus. The coarsest laterals are kept, none without `maps`."""
        plan = self._plan(len(group.sizes), self.memory)
        missing, batches = 4 - plan.kept * maps, list[Batch]()
        with self._compute():
            for i in range(0, len(group.sizes), plan.batch):
                part = slice(i, i + plan.batch)
                *stages, features = self.model.encode(self._images(group.pixels[part]))
                batches.append((part, self.model.laterals(stages[missing:], missing + 1), features))
                del stages
            deepest = torch.cat([features for *_, features in batches])
            return batches, self.model.consensus(deepest, plan.block)

    @contextmanager
    def _compute(self) -> Iterator[None]:
        settle_threads(self.device)
        with lock("compute"), tf32(self.tf32), torch.inference_mode(), autocast(self.device, self.precision):
            yield

    def _images(self, pixels: Tensor) -> Tensor:
        """Pixels (n,3,S,S) uint8 → images in [0,1] on the device, in the network's memory layout."""
        images = put(pixels, self.device).float().div(255)
        return images.contiguous(memory_format=self.memory_format)
