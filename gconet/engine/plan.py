"""Whether a training runs as CUDA graphs, and where it caches its images."""

import torch

from gconet.config import Config
from gconet.device import free_memory, runs_ahead
from gconet.errors import ConfigError
from gconet.models.encoder import Encoder


def plan_training(
    config: Config,
    encoder: Encoder,
    device: torch.device,
    precision: torch.dtype,
    *,
    images: int,
    steps: int,
    world: int,
) -> tuple[bool, torch.device | None]:
    """Decide whether `steps` training steps run as CUDA graphs, and on which device to cache all `images`.

    `train.graph: auto` uses graphs on a single GPU if twice a step's memory is free, because batches of
    other sizes warm up while recorded graphs hold memory; not in fp16, in which they have not been tried.
    `data.cache: auto` uses the GPU if the images, 4 bytes per pixel, fit next to a step, else main memory if
    half of what is free is enough; nothing if the run reads fewer images than the set has. Raises ConfigError
    if graphs cannot run.
    """
    size, batch = config.data.image_size, 2 * config.data.group_size
    # The release's recipe took 2.55 GiB per step in bfloat16 on an H200; in float32 the reference path took
    # 6.2 GiB. The factors for other encoders, and for an encoder that is trained as a whole, are guesses.
    whole = all(p.requires_grad for p in encoder.parameters())
    step = batch * size**2 * (4250 if precision == torch.float32 else 1750)
    room = int(step * encoder.step_cost * (1.4 if whole else 1))
    graph, possible = config.train.graph, runs_ahead(device) and world == 1
    if graph == "auto":
        graph = possible and precision != torch.float16 and 2 * room < free_memory(device)
    elif graph and not possible:
        raise ConfigError("train.graph: true needs an NVIDIA GPU and a single process; use auto")
    cpu = torch.device("cpu")
    if config.data.cache != "auto":
        return graph, {"device": device, "memory": cpu, "none": None}[config.data.cache]
    needed = 4 * size**2 * images
    if steps * batch < images:
        return graph, None
    if device.type != "cpu" and needed + room * (1 + graph) <= free_memory(device):
        return graph, device
    return graph, cpu if needed <= free_memory(cpu) // 2 else None
