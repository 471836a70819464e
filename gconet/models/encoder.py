"""The encoder: a torchvision classification network as five stages; `gconet.models.ENCODERS` lists them."""

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models import ResNet50_Weights, VGG16_BN_Weights, VGG16_Weights, WeightsEnum, resnet50
from torchvision.models.vgg import cfgs, make_layers
from torchvision.ops import FrozenBatchNorm2d


class Encoder(nn.Module):
    """The interface of an encoder; parameter names are torchvision's. Batch normalisation keeps ImageNet's
    statistics, so an image's features do not depend on other images."""

    channels: Sequence[int]  # of the five stages
    strides: Sequence[int]  # input pixels from one position of a stage to the next
    pretrained: WeightsEnum  # torchvision's weights for it
    step_cost: float = 1.0  # memory of a training step relative to VGG-16

    def stages(self) -> Sequence[nn.Module]:
        """Return the five stages; each takes the output of the previous one."""
        raise NotImplementedError

    def parts(self) -> dict[str, Sequence[nn.Module]]:
        """Return each valid value of `encoder.trainable` → the modules that it makes trainable."""
        stages = self.stages()
        return {"none": (), "stage5": stages[4:], "stages4-5": stages[3:], "all": stages}

    def forward(self, x: Tensor, depth: int = 5) -> list[Tensor]:
        """Normalised images (N,3,H,W) → the first `depth` stages, (N,C_k,·,·) each at its stride."""
        outputs = [x]
        for stage in self.stages()[:depth]:
            outputs.append(stage(outputs[-1]))
        return outputs[1:]

    def set_trainable(self, part: Sequence[nn.Module]) -> None:
        """Make one of the `parts` trainable and freeze the rest."""
        self.requires_grad_(False)
        for module in part:
            module.requires_grad_(True)


class VGG16Encoder(Encoder):
    """VGG-16 (Simonyan & Zisserman 2015) without its last pooling and its fully connected layers."""

    channels = (64, 128, 256, 512, 512)
    strides = (1, 2, 4, 8, 16)
    pretrained = VGG16_Weights.IMAGENET1K_V1
    batch_norm = False

    def __init__(self) -> None:
        super().__init__()
        self.features = make_layers(cfgs["D"], batch_norm=self.batch_norm)[:-1]
        for i, layer in enumerate(self.features):
            if isinstance(layer, nn.Conv2d):  # He: keeps the scale in runs without ImageNet weights
                nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
            elif isinstance(layer, nn.BatchNorm2d):
                self.features[i] = FrozenBatchNorm2d(layer.num_features)

    def stages(self) -> Sequence[nn.Module]:
        pools = [i for i, layer in enumerate(self.features) if isinstance(layer, nn.MaxPool2d)]
        starts = [0, *pools]  # stages 2 to 5 start with a max-pool
        return [self.features[i:j] for i, j in zip(starts, [*pools, len(self.features)], strict=True)]

    def parts(self) -> dict[str, Sequence[nn.Module]]:
        convolutions = [layer for layer in self.features if isinstance(layer, nn.Conv2d)]
        return {"conv5_3": convolutions[-1:], **super().parts()}


class VGG16BNEncoder(VGG16Encoder):
    """VGG-16 with batch normalisation."""

    pretrained = VGG16_BN_Weights.IMAGENET1K_V1
    step_cost = 2.0
    batch_norm = True


class ResNet50Encoder(Encoder):
    """ResNet-50 (He et al. 2016) without its classifier; its finest stage has half the input's size."""

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
