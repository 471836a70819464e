"""How much of a group to keep in memory."""

from dataclasses import dataclass

import torch

from gconet.device import free_memory
from gconet.errors import ConfigError
from gconet.machine import free_main_memory
from gconet.models.affinity import BLOCK
from gconet.models.decoder import WIDTH
from gconet.models.encoder import Encoder

MODEST = 2**30  # bytes; on a CPU it is rarely worth taking more from other programs


def known_memory(device: torch.device) -> int | None:
    """Return this process's share of the free bytes; None if the system does not say how much is free."""
    return None if free_main_memory() is None else free_memory(device)


@dataclass(frozen=True)
class Plan:
    """How to compute a group."""

    batch: int  # images per pass through the network
    kept: int  # stages whose lateral features stay between the passes: the coarsest 0 to 4
    block: int  # bytes of affinities at a time


def plan_group(
    images: int,
    size: int,
    *,
    encoder: Encoder,
    device: torch.device,
    precision: torch.dtype,
    memory: int | None = None,
    consensus_bytes: int | None = None,
    drawn: bool = False,
) -> Plan:
    """Return the fastest plan for a group of `images` at `size` × `size` pixels within `memory` bytes.

    `memory` is what the group takes in addition to the network and the program. None: on a GPU what is
    free; on a CPU half of what is free, but at most 1 GiB; more if the group needs it. Raises ConfigError
    if `memory` is too small for the group. `consensus_bytes`: what the consensus takes per number of
    stage 5; default: GAM's. `drawn`: whether all maps are held until the last one is drawn.
    """
    number = precision.itemsize
    *sides, grid = (-(-size // stride) for stride in encoder.strides)  # pixels per side of each stage
    coarse = encoder.channels[-1] * grid**2  # numbers per image at stage 5
    pixels, maps = 2 * 3 * size**2, 4 * size**2 * drawn  # per image: this and the next group's; float32
    always = images * (pixels + coarse * number + maps)
    affinity = 2 if precision == torch.bfloat16 else 4  # GAM compares queries and keys in float32 for float16
    gam = 3 * number + 4 * (number != 4) + 4 * (number != affinity)  # concatenated stage 5, queries, keys
    consensus = images * coarse * (consensus_bytes or gam)
    network = 6 * WIDTH * size**2 * number  # for one image, approximately
    laterals = [images * WIDTH * side**2 * number for side in reversed(sides)]  # coarsest first

    rows = min(BLOCK, 256 * images * grid**2 * affinity)  # fewer rows per block would slow the search
    least = always + max(consensus + rows, network)
    if memory is None:
        free = free_memory(device)
        memory = max(least, min(free // 2, MODEST) if device.type == "cpu" else free * 9 // 10)
    elif memory < least:
        raise ConfigError(
            f"{images} images of {size} pixels need {least / 2**30:.2f} GiB of memory beyond the network, "
            f"but {memory / 2**30:.2f} is allowed or free; allow more (--memory, memory=) or make it smaller"
        )
    spare = memory - always
    batch = max(1, min(2 if device.type == "cpu" else 16, images, spare // 2 // network))
    block = max(rows, min(BLOCK, spare - consensus))
    spare -= max(consensus + block, batch * network)
    kept = 0
    while kept < 4 and laterals[kept] <= spare:
        spare -= laterals[kept]
        kept += 1
    return Plan(batch, kept, block)
