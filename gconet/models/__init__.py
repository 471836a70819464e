"""Networks, and the only place where settings become constructors.

Shape letters, used in every docstring here: `N` images in one group, `C` = 512 channels of stage 5,
`h×w` its grid (14×14 at 224 px), `P = h·w`, `H×W` the network's input size.
"""

import zlib
from collections.abc import Callable
from typing import TypeVar

import torch

from gconet.config import Config
from gconet.models.affinity import GroupAffinityModule, MeanConsensus
from gconet.models.classification import AuxiliaryClassificationModule
from gconet.models.collaboration import GroupCollaboratingModule
from gconet.models.decoder import FPNDecoder
from gconet.models.encoder import CHANNELS, VGG16Encoder
from gconet.models.gconet import GCoNet
from gconet.models.training import TrainingGCoNet

Part = TypeVar("Part")


def build_model(config: Config) -> GCoNet:
    """The network for inference that `config` describes, with random weights drawn from its seed."""
    encoder = seeded(config, "encoder", lambda: VGG16Encoder(trainable=config.encoder.trainable))
    gam = config.gam
    affinity = seeded(
        config,
        "affinity",
        lambda: (
            GroupAffinityModule(
                channels=CHANNELS[-1],
                kernel_size=gam.kernel_size,
                softmax=gam.softmax,
                output_conv=gam.output_conv,
            )
            if gam.enabled
            else MeanConsensus()
        ),
    )
    decoder = seeded(config, "decoder", FPNDecoder)
    return seeded(config, "sides", lambda: GCoNet(encoder=encoder, affinity=affinity, decoder=decoder))


def build_training_model(config: Config, *, classes: int) -> TrainingGCoNet:
    """`build_model` with the heads that `config` switches on; `classes` is the number of groups."""
    C5 = CHANNELS[-1]
    return TrainingGCoNet(
        net=build_model(config),
        gcm=seeded(config, "gcm", lambda: GroupCollaboratingModule(channels=C5))
        if config.gcm.enabled
        else None,
        acm=seeded(config, "acm", lambda: AuxiliaryClassificationModule(channels=C5, classes=classes))
        if config.acm.enabled
        else None,
        outputs=config.loss.outputs,
    )


def seeded(config: Config, name: str, make: Callable[[], Part]) -> Part:
    """`make()`, its random weights a function of the seed and the part's name alone.

    So switching a module off leaves the others' first weights as they are. PyTorch's generators go
    on as if nothing had been drawn.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(zlib.crc32(f"{config.seed} {name}".encode()))
        return make()


__all__ = ["GCoNet", "TrainingGCoNet", "build_model", "build_training_model"]
