"""Networks, and the only place where settings become constructors.

Shape letters, used in every docstring here: `N` images in one group, `C` = 512 channels of stage 5,
`h×w` its grid (14×14 at 224 px), `P = h·w`, `H×W` the network's input size.
"""

from gconet.config import Config
from gconet.models.affinity import GroupAffinityModule, MeanConsensus
from gconet.models.classification import AuxiliaryClassificationModule
from gconet.models.collaboration import GroupCollaboratingModule
from gconet.models.decoder import FPNDecoder
from gconet.models.encoder import CHANNELS, VGG16Encoder
from gconet.models.gconet import GCoNet
from gconet.models.training import TrainingGCoNet


def build_model(config: Config) -> GCoNet:
    """The network for inference that `config` describes, with random weights."""
    return GCoNet(
        encoder=VGG16Encoder(trainable=config.encoder.trainable),
        affinity=GroupAffinityModule(
            channels=CHANNELS[-1],
            kernel_size=config.gam.kernel_size,
            softmax=config.gam.softmax,
            output_conv=config.gam.output_conv,
        )
        if config.gam.enabled
        else MeanConsensus(),
        decoder=FPNDecoder(),
    )


def build_training_model(config: Config, *, classes: int) -> TrainingGCoNet:
    """`build_model` with the heads that `config` switches on; `classes` is the number of groups."""
    C5 = CHANNELS[-1]
    return TrainingGCoNet(
        net=build_model(config),
        gcm=GroupCollaboratingModule(channels=C5) if config.gcm.enabled else None,
        acm=AuxiliaryClassificationModule(channels=C5, classes=classes) if config.acm.enabled else None,
    )


__all__ = ["GCoNet", "TrainingGCoNet", "build_model", "build_training_model"]
