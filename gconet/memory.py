"""How much memory there is, and what to keep of a group while it lasts."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from gconet.config import Config
from gconet.errors import ConfigError
from gconet.models.affinity import BLOCK
from gconet.models.decoder import WIDTH
from gconet.models.encoder import Encoder

MODEST = 2**30  # bytes; on a CPU more is rarely worth taking from other programs
GUESS = 2**32  # bytes taken as free if the system does not say


@dataclass(frozen=True)
class Plan:
    """How to compute a group."""

    batch: int  # images that go through the network at a time
    kept: int  # lateral features kept between the passes: of the coarsest 0 to 4 stages
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
) -> Plan:
    """The fastest plan for a group of `images` at `size` pixels a side within `memory` bytes.

    `memory` counts what the group takes beyond the network and the program. None: on a GPU what is
    free; on a CPU half of what is free, but at most 1 GiB if that is enough. Raises ConfigError
    if `memory` is too little for the group. `consensus_bytes`: what the consensus takes for each number of
    stage 5, by default GAM's.
    """
    number = precision.itemsize
    *sides, grid = (-(-size // stride) for stride in encoder.strides)  # pixels a side of the stages
    coarse = encoder.channels[-1] * grid**2  # numbers of an image at stage 5
    always = images * (2 * 3 * size**2 + coarse * number)  # this and the next group's pixels; stage 5
    gam = 3 * number + 4 * (number != 4)  # stage 5 as one, queries, keys
    consensus = images * coarse * (consensus_bytes or gam)
    network = 6 * WIDTH * size**2 * number  # of one image on its way, about
    laterals = [images * WIDTH * side**2 * number for side in reversed(sides)]  # coarsest first

    rows = min(BLOCK, 256 * images * grid**2 * number)  # fewer rows a block make the search slow
    least = always + max(consensus + rows, network)
    if memory is None:
        free = free_memory(device) // sharing(device)
        memory = max(least, free * 9 // 10 if device.type == "cuda" else min(free // 2, MODEST))
    elif memory < least:
        raise ConfigError(
            f"{images} images of {size} pixels need {least / 2**30:.2f} GiB of memory beyond the network, "
            f"but only {memory / 2**30:.2g} are allowed; raise that limit (--memory), or make it smaller"
        )
    spare = memory - always
    batch = max(1, min(16 if device.type == "cuda" else 2, images, spare // 2 // network))
    block = max(rows, min(BLOCK, spare - consensus))
    spare -= max(consensus + block, batch * network)
    kept = 0
    while kept < 4 and laterals[kept] <= spare:
        spare -= laterals[kept]
        kept += 1
    return Plan(batch, kept, block)


def plan_training(
    config: Config,
    *,
    encoder: Encoder,
    images: int,
    steps: int,
    device: torch.device,
    precision: torch.dtype,
    world: int,
) -> tuple[bool, torch.device | None]:
    """Whether `steps` training steps run as CUDA graphs, and on which device all `images` are kept, if any.

    `train.graph: auto` takes graphs on one GPU if twice a step's memory is free, as other sizes of
    batch warm up beside the recorded ones. `data.cache: auto` keeps the images, 4 bytes a pixel, on
    the GPU if they fit beside the step, else in memory if half of what is free will do. It keeps none
    if the run reads fewer images than the set has. Raises ConfigError if graphs are not possible.
    """
    size, batch = config.data.image_size, 2 * config.data.group_size
    # The release's recipe took 2.55 GiB a step in bfloat16 on an H200; in float32 the plain reference path
    # took 6.2 GiB. The factors for other encoders, and for one that learns as a whole, are guesses.
    whole = all(p.requires_grad for p in encoder.parameters())
    step = batch * size**2 * (1750 if precision == torch.bfloat16 else 4250)
    room = int(step * encoder.step_cost * (1.4 if whole else 1))
    graph, possible = config.train.graph, device.type == "cuda" and world == 1
    if graph == "auto":
        graph = possible and 2 * room < free_memory(device)
    elif graph and not possible:
        raise ConfigError("train.graph: true needs a CUDA GPU and a single process; use auto")
    cpu = torch.device("cpu")
    if config.data.cache != "auto":
        return graph, {"device": device, "memory": cpu, "none": None}[config.data.cache]
    needed = 4 * size**2 * images
    if steps * batch < images:
        return graph, None
    if device.type == "cuda" and needed + room * (1 + graph) <= free_memory(device) // sharing(device):
        return graph, device
    return graph, cpu if needed <= free_memory(cpu) // 2 // sharing(cpu) else None


def sharing(device: torch.device) -> int:
    """How many processes of torchrun share the memory of `device`: all of a machine's, if it has no GPU
    for each."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return 1 if device.type == "cuda" and torch.cuda.device_count() >= processes else processes


def free_memory(device: torch.device) -> int:
    """Bytes that can be had now: of the GPU's memory, or of the machine's within a container's limit
    (cgroup v2). `GUESS` on systems without /proc, as macOS."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    free = GUESS
    with contextlib.suppress(OSError, ValueError, KeyError):  # Linux
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 2**10
    with contextlib.suppress(OSError, ValueError, KeyError):  # cgroup v2; "max" if there is no limit
        limit, used, stat = (
            Path(f"/sys/fs/cgroup/memory.{n}").read_text() for n in ("max", "current", "stat")
        )
        cached = int(dict(line.split() for line in stat.splitlines())["inactive_file"])  # given back at need
        free = min(free, max(0, int(limit) - int(used) + cached))
    return free
