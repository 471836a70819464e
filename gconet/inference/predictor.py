"""`Predictor`: the pictures of one group in, their co-saliency maps out, in bounded memory.

A group goes through the network twice, in batches: for its consensus and for the maps. Results of the first
pass are kept as far as memory allows."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gconet.checkpoint import DEFAULT, PRETRAINED, digest_weights, find_checkpoint, load_model
from gconet.data.ahead import lock
from gconet.data.pictures import Picture, Pictures, list_pictures, name_pictures, read_groups, read_parts
from gconet.device import autocast, pick_device, pick_memory_format, pick_precision, put, settle_threads, tf32
from gconet.errors import ConfigError
from gconet.inference.memory import Plan, known_memory, plan_group
from gconet.inference.presence import Floats, Maps, Take, average_under, cosine_to_others, give, presence_of
from gconet.inference.reference import Reference, is_saved
from gconet.inference.vote import add_own_parts, refine, refine_group
from gconet.models import GCoNet
from gconet.models.affinity import Consensus, GroupAffinityModule, MeanConsensus, parts_of

Given: TypeAlias = Picture | Sequence[Picture]  # one group, as a call takes it
Source: TypeAlias = Given | Pictures  # or already read
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
        """`model` is modified in place and cannot be trained afterwards; a compiled one runs uncompiled.

        `size`: pixels per side of the network's input, as in training. `device`: auto, cpu or an accelerator,
        such as mps. `precision`: auto, fp32, tf32, bf16 or fp16; see `gconet.device.pick_precision`.
        `memory`: bytes that a group may take beyond the network. `consensus`: group, as in the paper, or
        vote, which makes maps of clear groups bolder and refines unclear maps, and those by a reference,
        by what the object looks like (`gconet.inference.vote`). Raises ConfigError for anything else.
        """
        model = getattr(model, "_orig_mod", model)  # before torch.compile
        if not isinstance(model, GCoNet):
            raise ConfigError(f"{model!r:.80} is not a network; Predictor.load takes names and files")
        for name, value, least in (("size", size, 32), ("memory", memory, 1)):
            if value is not None and not (isinstance(value, Integral) and value >= least):
                raise ConfigError(f"{name}: {value!r:.80} is not a whole number of {least} or more")
        if consensus not in ("group", "vote"):
            raise ConfigError(f"consensus: {consensus!r:.80} is not group or vote")
        self.voting = consensus == "vote"
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
    def load(
        cls, checkpoint: str | Path = "pretrained", *, consensus: str | None = None, **options: Any
    ) -> "Predictor":
        """Load a checkpoint file, or shipped weights: `distractors` (the default, `pretrained`) or `paper`.

        `consensus`: default vote for `distractors`, group for all others. `options`: device, precision and
        memory, as above. Raises CheckpointError if the file is missing, damaged or of another architecture.
        """
        file = find_checkpoint(checkpoint)
        model, config = load_model(file)
        consensus = consensus or ("vote" if file.resolve() == PRETRAINED[DEFAULT][0] else "group")
        return cls(model, size=config.data.image_size, consensus=consensus, **options)

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
        self, pictures: Source, take: Take, *, reference: Model | None = None, include_group: bool = False,
        tick: Callable[[int], object] = int,
    ) -> Floats:  # fmt: skip
        """Call `take` with each map of the group, in order, as soon as it is known; returns `presence`. With
        a `reference` alone, files are read a few at a time: a thousand need no more memory than ten. Without,
        `tick` is called with the number of maps that have been drawn since, which may be refined later."""
        if reference is None:
            return cosine_to_others(self._whole(pictures, take, tick, refined=self.voting)[1])
        known = self.recall(reference)
        if include_group:
            known = replace(known, vector=Reference.mean([known, self.remember(pictures)], "both").vector)
        return presence_of(self.find(pictures, take, known), known.appearance)

    def remember(self, pictures: Source, name: str = "") -> Reference:
        """Return what `pictures` have in common; raises ConfigError if their E is not one vector."""
        E, looks = self._whole(pictures, lambda m: None, int, refined=False)
        if E.numel() != looks.shape[1]:
            raise ConfigError("gam.kind: this consensus is not one vector, so it cannot use references")
        look = looks.sum(0) / np.linalg.norm(looks.sum(0)).clip(1e-12)
        name = name or (str(pictures) if isinstance(pictures, str | Path) else f"{len(looks)} pictures")
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

    def _whole(self, pictures: Source, take: Take, tick: Any, *, refined: bool) -> tuple[Tensor, Floats]:
        """Decode a group with its E, which is mixed if `refined`; returns E, and the looks (N,C)."""
        group, looks, drawn = self._read(pictures), list[Floats](), list[tuple[Tensor, Tensor]]()
        sizes = iter(group.sizes)
        with lock("compute"):  # the plan depends on the memory that is free now
            kept, consensus = self._first_pass(group)
            mixes = refined and isinstance(self.model.affinity, GroupAffinityModule | MeanConsensus)
            mixed = add_own_parts(consensus, *self._parts(kept, consensus)) if mixes else consensus
            for part, laterals, features in self._complete(group, kept):
                maps, look = self._draw(laterals, features, mixed.of(part))
                looks.append(look)
                tick(len(maps))
                if refined:
                    drawn.append((features, maps))
                else:
                    give(maps, sizes, take)
            for maps in refine_group(drawn, np.concatenate(looks), self.digest) if drawn else ():
                give(maps, sizes, take)
        return consensus.vector, np.concatenate(looks)

    def _complete(self, group: Pictures, kept: list[Batch]) -> Iterator[Batch]:
        """Yield the batches with all four laterals; those that were not kept are computed again."""
        for part, laterals, features in kept:
            missing, pixels = 4 - len(laterals), group.pixels[part]
            with self._compute():
                stages = self.model.encode(self._images(pixels), missing) if missing else []
                laterals = [*self.model.laterals(stages), *laterals]
            yield part, laterals, features

    def find(self, pictures: Source, take: Take, known: Reference) -> Floats:
        """Decode each picture by itself with a reference's E, in batches of one size, as another would round
        differently; returns the looks, (N,C), of which `presence_of` a whole folder is made."""
        n, looks = 1 if self.device.type == "cpu" else PART, []
        E = put(torch.from_numpy(known.vector), self.device).view(1, -1, 1, 1)
        read = [pictures] if isinstance(pictures, Pictures) else read_parts(pictures, self.size, PART)
        for group in read:
            for pixels, i in zip(group.pixels.split(n), range(0, len(group.sizes), n), strict=True):
                with self._compute():
                    padded = F.pad(pixels, (0, 0, 0, 0, 0, 0, 0, n - len(pixels)))
                    *stages, features = self.model.encode(self._images(padded))
                    laterals = self.model.laterals(stages)
                maps, look = self._draw(laterals, features, E.to(features.dtype))
                maps = refine(maps, features, look, known) if self.voting else maps
                looks.append(look[: len(pixels)])
                give(maps, iter(group.sizes[i : i + n]), take)
        return np.concatenate(looks)

    def _draw(self, laterals: list[Tensor], features: Tensor, E: Tensor) -> tuple[Tensor, Floats]:
        """Decode a batch to maps (n,1,S,S); also returns the looks, what is `average_under` them, (n,C)."""
        with self._compute():
            maps = self.model.decode(laterals, features, E, (self.size, self.size))
            laterals.clear()
            return maps, self._finite(average_under(features, maps))

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
        return self._finite(self._parts(*self._first_pass(self._read(pictures), maps=False))[1][..., 0, 0])

    def _parts(self, batches: list[Batch], consensus: Consensus) -> tuple[Tensor, Tensor]:
        with self._compute():
            return parts_of(self.model.affinity, torch.cat([f for *_, f in batches]), consensus.attention)

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
            drawn=self.voting,
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
        return put(pixels, self.device).float().div(255).contiguous(memory_format=self.memory_format)
