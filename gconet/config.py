"""Settings as frozen dataclasses, read from strict YAML and `key=value` overrides.

The defaults are the authors' release recipe. An unknown key, a value of the wrong type or two
settings that contradict each other raise ConfigError.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

from gconet.errors import ConfigError
from gconet.settings import apply_overrides, build, parse_yaml, short


@dataclass(frozen=True)
class DataConfig:
    """Where the groups are and how an episode is drawn from them."""

    root: str = "data"  # folder that holds images/ and gts/
    train_set: str = "DUTS_class"  # a folder of class folders below both
    image_size: int = 224  # network input, pixels a side
    group_size: int = 16  # most images of one class in an episode; two classes each
    flip: float = 0.5  # probability of a horizontal flip
    rotation: float = 90.0  # angles are uniform in ± this many degrees
    distractors: float = 0.0  # share of composed pictures: another class's object beside the group's
    episodes: str | None = None  # recorded episodes (.npz) to replay instead of drawing
    cache: Literal["auto", "device", "memory", "none"] = "auto"  # where resized images are kept
    workers: int = 4  # threads that read images, at most one a core


@dataclass(frozen=True)
class EncoderConfig:
    """A classification network of torchvision."""

    name: str = "vgg16"  # vgg16 | vgg16_bn | resnet50: gconet.models.ENCODERS
    weights: str = "imagenet"  # imagenet | none | a file of torchvision's weights for it
    trainable: Literal["conv5_3", "stage5", "stages4-5", "all", "none"] = "conv5_3"  # the layers that learn


@dataclass(frozen=True)
class GAMConfig:
    """Group affinity module; without it the consensus is the plain mean of the features."""

    enabled: bool = True
    kind: str = "affinity"  # affinity | mean | prototype: gconet.models.CONSENSUS; the rest is for affinity
    kernel_size: Literal[1, 3] = 1  # of the query and key convolutions; the paper says 3
    softmax: Literal["image", "group"] = "image"  # over one image's positions, or the group's
    output_conv: bool = True  # a 1x1 convolution on the attended features; the paper has none


@dataclass(frozen=True)
class GCMConfig:
    """Group collaborating module, training only."""

    enabled: bool = True


@dataclass(frozen=True)
class ACMConfig:
    """Auxiliary classification module, training only."""

    enabled: bool = True


@dataclass(frozen=True)
class LossConfig:
    """Weights of the terms; the term of a module that is off does not exist."""

    saliency: float = 1.0
    collaboration: float = 250.0
    classification: float = 3.0
    iou_reduction: Literal["sum", "mean"] = "sum"  # of the soft IoU loss over images
    outputs: Literal["all", "finest"] = "all"  # the side outputs that the soft IoU loss takes
    bce: float = 0.0  # weight of the finest output's binary cross-entropy, a mean over pixels


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam."""

    lr: float = 1e-4
    encoder_lr_scale: float = 0.01  # times lr, for the encoder's trainable layers
    betas: tuple[float, float] = (0.9, 0.99)
    drop_at: float = 1.0  # fraction of the schedule after which the rates are divided by 10


@dataclass(frozen=True)
class TrainConfig:
    """The loop."""

    epochs: int = 50
    steps: int | None = None  # stop after this many steps in all, if before the last epoch ends
    device: str = "auto"  # auto | cpu | cuda | cuda:N
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "auto"  # auto: bf16 where the hardware has it
    graph: Literal["auto", True, False] = "auto"  # CUDA graphs of the step; auto: on one GPU with room
    save_minutes: float = 5.0  # between checkpoints within an epoch


@dataclass(frozen=True)
class ValidationConfig:
    """Scores on a named set every few epochs; `best.pt` is the epoch with the highest S-measure.

    Never report numbers on the set that chose the checkpoint.
    """

    set: str | None = None
    every: int = 5  # epochs


@dataclass(frozen=True)
class Config:
    """Everything that a run depends on."""

    name: str = "gconet"  # the run's folder, runs/<name>
    seed: int = 0
    init: str | None = None  # weights to start from: a checkpoint, `pretrained`, or a name of some that ship
    data: DataConfig = field(default_factory=DataConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    gam: GAMConfig = field(default_factory=GAMConfig)
    gcm: GCMConfig = field(default_factory=GCMConfig)
    acm: ACMConfig = field(default_factory=ACMConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)

    def __post_init__(self) -> None:
        for key, (low, high) in RANGES.items():
            value = attrgetter(key)(self)
            for number in value if isinstance(value, tuple) else (value,):
                if number is not None and not low <= number <= high:  # NaN is nowhere
                    wrong = f"not between {low:g} and {high:g}" if high < math.inf else f"below {low}"
                    raise ConfigError(f"{key}: {number} is {wrong}")
        if Path(self.name).name != self.name or self.name in ("", ".", "..") or not self.name.isprintable():
            raise ConfigError(f"name: {short(self.name)} is not a plain folder name")
        if self.validation.set is not None and self.validation.set == self.data.train_set:
            raise ConfigError("validation.set and data.train_set are the same; name a held-out set")
        if self.init is not None and self.encoder.weights != EncoderConfig.weights:
            raise ConfigError("init and encoder.weights: init brings the encoder's weights; leave one out")
        for key in ("group_size", "flip", "rotation"):
            if self.data.episodes is not None and getattr(self.data, key) != getattr(DataConfig, key):
                raise ConfigError(f"data.{key} and data.episodes: recorded episodes have their own")


RANGES = {
    "seed": (0, 2**32 - 1),
    "data.image_size": (32, 2048),  # beyond, a checkpoint's settings could fill any memory
    "data.group_size": (1, math.inf),
    "data.flip": (0, 1),
    "data.rotation": (0, 180),
    "data.distractors": (0, 1),
    "data.workers": (0, math.inf),
    "loss.saliency": (0, 1e9),
    "loss.collaboration": (0, 1e9),
    "loss.classification": (0, 1e9),
    "loss.bce": (0, 1e9),
    "optimizer.lr": (0, 1e3),
    "optimizer.encoder_lr_scale": (0, 1e9),
    "optimizer.betas": (0, 0.9999999),
    "optimizer.drop_at": (0, 1),
    "train.epochs": (1, math.inf),
    "train.steps": (1, math.inf),
    "train.save_minutes": (0, 1e9),
    "validation.every": (1, math.inf),
}


def load_config(path: Path | None = None, overrides: Sequence[str] = ()) -> Config:
    """The settings in the YAML file `path` (all optional), changed by overrides like `data.root=/d`."""
    if path is None:
        return config_from_dict(apply_overrides({}, overrides))
    try:
        settings = parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        there = ", ".join(sorted(p.name for p in path.parent.glob("*.yaml"))) or "no .yaml file"
        raise ConfigError(f"no config {path} (there: {there})") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from None
    return config_from_dict(apply_overrides({} if settings is None else settings, overrides))


def config_from_dict(settings: Any) -> Config:
    """The Config of nested plain settings, strictly checked; raises ConfigError."""
    data = settings.get("data") if isinstance(settings, dict) else None
    if isinstance(data, dict) and isinstance(data.get("cache"), bool):  # of older checkpoints
        settings = {**settings, "data": {**data, "cache": "memory" if data["cache"] else "none"}}
    return build(Config, settings)


def config_to_dict(config: Config) -> dict[str, Any]:
    """Plain nested dict of lists and scalars: for YAML, JSON and checkpoints."""
    plain: dict[str, Any] = dataclasses.asdict(config)
    plain["optimizer"]["betas"] = list(config.optimizer.betas)
    return plain


def flat_settings(config: Config) -> dict[str, Any]:
    """`config_to_dict` as section.key → value."""
    flat: dict[str, Any] = {}
    for key, value in config_to_dict(config).items():
        flat |= {f"{key}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value}
    return flat
