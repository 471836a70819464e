"""Networks, and the only place where settings become constructors.

Shape letters, used in every docstring here: `N` images in one group, `C` channels of stage 5 (VGG: 512),
`h×w` its grid (14×14 at 224 px), `P = h·w`, `H×W` the network's input size.
"""

import zlib
from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import nn

from gconet.config import Config, GAMConfig
from gconet.errors import ConfigError
from gconet.models.affinity import GroupAffinityModule, MeanConsensus
from gconet.models.decoder import FPNDecoder
from gconet.models.encoder import Encoder, ResNet50Encoder, VGG16BNEncoder, VGG16Encoder
from gconet.models.gconet import GCoNet
from gconet.models.heads import AuxiliaryClassificationModule, GroupCollaboratingModule
from gconet.models.training import TrainingGCoNet

Part = TypeVar("Part")
Module = TypeVar("Module", bound=nn.Module)
# to add one, add a line here (docs/extending.md)
ENCODERS: Mapping[str, Callable[[], Encoder]] = {
    "vgg16": VGG16Encoder, "vgg16_bn": VGG16BNEncoder, "resnet50": ResNet50Encoder,
}  # fmt: skip
CONSENSUS: Mapping[str, Callable[[GAMConfig, int], nn.Module]] = {  # settings, channels of stage 5 → module
    "affinity": lambda gam, channels: GroupAffinityModule(
        channels=channels, kernel_size=gam.kernel_size, softmax=gam.softmax, output_conv=gam.output_conv
    ),
    "mean": lambda gam, channels: MeanConsensus(),
}


def build_model(config: Config) -> GCoNet:
    """Build the inference network that `config` describes, with random weights drawn from its seed; raises
    ConfigError for an unknown encoder, part of it, or consensus."""
    encoder = seeded(config, "encoder", pick(ENCODERS, "encoder.name", config.encoder.name))
    encoder.set_trainable(pick(encoder.parts(), "encoder.trainable", config.encoder.trainable))
    consensus = pick(CONSENSUS, "gam.kind", config.gam.kind if config.gam.enabled else "mean")
    affinity = seeded(config, "affinity", lambda: consensus(config.gam, encoder.channels[-1]))
    decoder = seeded(config, "decoder", lambda: FPNDecoder(channels=encoder.channels))
    return seeded(config, "sides", lambda: GCoNet(encoder=encoder, affinity=affinity, decoder=decoder))


def build_training_model(config: Config, *, classes: int) -> TrainingGCoNet:
    """Build the network with the heads that `config` enables; `classes` is the number of groups."""
    net = build_model(config)
    C5 = net.encoder.channels[-1]
    gcm = acm = None
    if config.gcm.enabled:
        gcm = seeded(config, "gcm", lambda: GroupCollaboratingModule(channels=C5))
    if config.acm.enabled:
        acm = seeded(config, "acm", lambda: AuxiliaryClassificationModule(channels=C5, classes=classes))
    return TrainingGCoNet(net=net, gcm=gcm, acm=acm, outputs=config.loss.outputs)


def pick(known: Mapping[str, Part], key: str, name: str) -> Part:
    """Return the entry `name` of `known`; raises ConfigError that lists all names."""
    if name not in known:
        raise ConfigError(f"{key}: there is no {name}; choose from {', '.join(known)}")
    return known[name]


def seeded(config: Config, name: str, make: Callable[[], Module]) -> Module:
    """Return the module `make()`, in float32 on the CPU whatever PyTorch's defaults are. Its random weights
    depend only on the seed and the part's name, and PyTorch's global random state is unchanged: so disabling
    a module does not change the initial weights of the others."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(zlib.crc32(f"{config.seed} {name}".encode()))
        return make().float()


__all__ = ["CONSENSUS", "ENCODERS", "GCoNet", "TrainingGCoNet", "build_model", "build_training_model"]
