"""ResNet-50 as an encoder."""

from collections.abc import Sequence

from torch import nn
from torchvision.models import ResNet50_Weights, resnet50
from torchvision.ops import FrozenBatchNorm2d

from gconet.models.encoder import Encoder


class ResNet50Encoder(Encoder):
    """ResNet-50 (He et al. 2016) without its classifier; its finest stage has half of the input's size."""

    channels = (64, 256, 512, 1024, 2048)
    strides = (2, 4, 8, 16, 32)
    pretrained = ResNet50_Weights.IMAGENET1K_V1

    def __init__(self) -> None:
        super().__init__()
        whole = resnet50(weights=None, norm_layer=FrozenBatchNorm2d)
        self.conv1, self.bn1, self.relu, self.maxpool = whole.conv1, whole.bn1, whole.relu, whole.maxpool
        self.layer1, self.layer2 = whole.layer1, whole.layer2
        self.layer3, self.layer4 = whole.layer3, whole.layer4

    def stages(self) -> Sequence[nn.Module]:
        stem = nn.Sequential(self.conv1, self.bn1, self.relu)
        return [stem, nn.Sequential(self.maxpool, self.layer1), self.layer2, self.layer3, self.layer4]
