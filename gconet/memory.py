"""How much memory is free, and how much of a group to keep in it."""

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

MODEST = 2**30  # bytes; on a CPU it is rarely worth taking more from other programs
GUESS = 2**32  # bytes assumed to be free if the system does not report them


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
) -> Plan:
    """Return the fastest plan for a group of `images` at `size` × `size` pixels within `memory` bytes.

    `memory` is what the group takes in addition to the network and the program. None: on a GPU what is
    free; on a CPU half of what is free, but at most 1 GiB if that is enough. Raises ConfigError
    if `memory` is too small for the group. `consensus_bytes`: what the consensus takes per number of
    stage 5; default: GAM's.
    """
    number = precision.itemsize
    *sides, grid = (-(-size // stride) for stride in encoder.strides)  # pixels per side of each stage
    coarse = encoder.channels[-1] * grid**2  # numbers per image at stage 5
    always = images * (2 * 3 * size**2 + coarse * number)  # this and the next group's pixels; stage 5
    gam = 3 * number + 4 * (number != 4)  # concatenated stage 5, queries, keys
    consensus = images * coarse * (consensus_bytes or gam)
    network = 6 * WIDTH * size**2 * number  # for one image, approximately
    laterals = [images * WIDTH * side**2 * number for side in reversed(sides)]  # coarsest first

    rows = min(BLOCK, 256 * images * grid**2 * number)  # fewer rows per block would slow the search
    least = always + max(consensus + rows, network)
    if memory is None:
        free = free_memory(device) // sharing(device)
        memory = max(least, free * 9 // 10 if device.type == "cuda" else min(free // 2, MODEST))
    elif memory < least:
        raise ConfigError(
            f"{images} images of {size} pixels need {least / 2**30:.2f} GiB of memory beyond the network, "
            f"but the limit is {memory / 2**30:.2f}; raise it (--memory, memory=) or use a smaller group"
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
    """Decide whether `steps` training steps run as CUDA graphs, and on which device to cache all `images`.

    `train.graph: auto` uses graphs on a single GPU if twice a step's memory is free, because batches of
    other sizes warm up while recorded graphs hold memory. `data.cache: auto` caches the images, 4 bytes per
    pixel, on the GPU if they fit next to a step, else in main memory if half of what is free is enough. It
    caches nothing if the run reads fewer images than the set has. Raises ConfigError if graphs cannot run.
    """
    size, batch = config.data.image_size, 2 * config.data.group_size
    # The release's recipe took 2.55 GiB per step in bfloat16 on an H200; in float32 the reference path took
    # 6.2 GiB. The factors for other encoders, and for an encoder that is trained as a whole, are guesses.
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
    """Return how many of torchrun's processes share the memory of `device`: all on this machine, unless
    each has its own GPU."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return 1 if device.type == "cuda" and torch.cuda.device_count() >= processes else processes


def free_memory(device: torch.device) -> int:
    """Return the bytes available now: of the GPU's memory, or of main memory within a container's limit
    (cgroup v2). `GUESS` on systems without /proc, such as macOS."""
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
        cached = int(dict(line.split() for line in stat.splitlines())["inactive_file"])  # reclaimable
        free = min(free, max(0, int(limit) - int(used) + cached))
    return free
