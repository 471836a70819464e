"""Settings as frozen dataclasses, read from strict YAML and `key=value` overrides.

The defaults are the authors' release recipe. A wrong setting raises ConfigError.
"""

import json
import math
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from operator import attrgetter
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

import yaml

from gconet.errors import ConfigError


@dataclass(frozen=True)
class DataConfig:
    """Where the groups are and how an episode is drawn from them."""

    root: str = "data"  # folder that holds images/ and gts/
    train_set: tuple[str, ...] = ("DUTS_class",)  # one name or a list: folders in both
    shares: tuple[float, ...] = ()  # of the episodes, for each of several sets; default: by number of classes
    image_size: int = 224  # network input, pixels per side
    group_size: int = 16  # most images per class in an episode, which has two classes
    flip: float = 0.5  # probability of a horizontal flip
    rotation: float = 90.0  # angles are uniform in ± this many degrees
    distractors: float = 0.0  # share of composed pictures: another class's object next to the group's
    absent: float = 0.0  # share of pictures without the group's object: another class's, with an empty mask
    episodes: str | None = None  # recorded episodes (.npz) to replay instead of drawing
    cache: Literal["auto", "device", "memory", "none"] = "auto"  # where resized images are kept
    workers: int = 4  # threads that read images, at most one per core


@dataclass(frozen=True)
class EncoderConfig:
    """A torchvision classification network."""

    name: str = "vgg16"  # vgg16 | vgg16_bn | resnet50: gconet.models.ENCODERS
    weights: str = "imagenet"  # imagenet | none | a file of torchvision's weights for it
    trainable: Literal["conv5_3", "stage5", "stages4-5", "all", "none"] = "conv5_3"  # the layers that learn


@dataclass(frozen=True)
class GAMConfig:
    """Group affinity module; without it the consensus is the plain mean of the features."""

    enabled: bool = True
    kind: str = "affinity"  # affinity | mean: gconet.models.CONSENSUS; the rest is for affinity
    kernel_size: Literal[1, 3] = 1  # of the query and key convolutions; the paper says 3
    softmax: Literal["image", "group"] = "image"  # over one image's positions or the whole group's
    output_conv: bool = True  # a 1x1 convolution on the attended features; the paper has none


@dataclass(frozen=True)
class HeadConfig:
    """The group collaborating (gcm) or auxiliary classification module (acm); used only in training."""

    enabled: bool = True


@dataclass(frozen=True)
class LossConfig:
    """Weights of the terms, the release's, as the paper gives none; a disabled module has no term."""

    saliency: float = 1.0  # λ₁
    collaboration: float = 250.0  # λ₂
    classification: float = 3.0  # λ₃
    iou_reduction: Literal["sum", "mean"] = "sum"  # over images, in the soft IoU loss
    outputs: Literal["all", "finest"] = "all"  # the side outputs that the soft IoU loss uses
    bce: float = 0.0  # weight of the finest output's binary cross-entropy, a mean over pixels


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam."""

    lr: float = 1e-4
    encoder_lr_scale: float = 0.01  # factor on lr for the encoder's trainable layers
    betas: tuple[float, float] = (0.9, 0.99)
    drop_at: float = 1.0  # fraction of the schedule after which the rates are divided by 10


@dataclass(frozen=True)
class TrainConfig:
    """The training loop."""

    epochs: int = 50
    steps: int | None = None  # stop after this many steps in total, or after the last epoch if earlier
    device: str = "auto"  # auto, cpu or an accelerator by PyTorch's name for it, such as mps
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = "auto"  # auto: see gconet.device
    graph: Literal["auto", True, False] = "auto"  # record the step; auto: see docs/training.md
    save_minutes: float = 5.0  # between checkpoints within an epoch


@dataclass(frozen=True)
class ValidationConfig:
    """Scores on a named set every few epochs; `best.pt` is the epoch with the highest S-measure. Never report
    numbers on the set that chose the checkpoint."""

    set: str | None = None
    every: int = 5  # epochs


@dataclass(frozen=True)
class Config:
    """Everything that a run depends on."""

    name: str = "gconet"  # the run's folder, runs/<name>
    seed: int = 0
    init: str | None = None  # weights to start from: a checkpoint, `pretrained` or other shipped weights
    data: DataConfig = field(default_factory=DataConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    gam: GAMConfig = field(default_factory=GAMConfig)
    gcm: HeadConfig = field(default_factory=HeadConfig)
    acm: HeadConfig = field(default_factory=HeadConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)

    def __post_init__(self) -> None:
        for key, (low, high) in RANGES.items():
            value = attrgetter(key)(self)
            for number in value if isinstance(value, tuple) else (value,):
                if number is not None and not low <= number <= high:  # NaN is outside any range
                    raise ConfigError(f"{key}: {number} is not between {low:g} and {high:g}")
        data, sets = self.data, list(self.data.train_set)
        own = [k for k in ("group_size", "flip", "rotation") if getattr(data, k) != getattr(DataConfig, k)]
        own += ["train_set"] if len(sets) > 1 else []
        plain = self.name.isprintable() and Path(self.name).name == self.name not in ("", "..")
        wrong = {
            f"name: {self.name!r:.80} is not a plain folder name": not plain,
            f"data.train_set: {sets}; give one or more different names": not sets or len({*sets}) < len(sets),
            f"data.shares: {list(data.shares)}; give one for each of {sets}":
                len(data.shares) not in (0, len(sets)),
            "validation.set is also in data.train_set; name a held-out set": self.validation.set in sets,
            f"data.{', data.'.join(own)} and data.episodes: recorded episodes have their own, of one set":
                data.episodes and own,
            "init and encoder.weights: init includes the encoder's weights; set only one":
                self.init and self.encoder.weights != EncoderConfig.weights,
        }  # fmt: skip
        if found := [message for message, holds in wrong.items() if holds]:
            raise ConfigError(found[0])


RANGES = {
    "seed": (0, 2**32 - 1), "data.image_size": (32, 2048),  # larger values could exhaust memory
    "data.group_size": (1, math.inf), "data.flip": (0, 1), "data.rotation": (0, 180),
    "data.shares": (1e-9, 1e9), "data.distractors": (0, 1), "data.absent": (0, 1),
    "data.workers": (0, math.inf), "loss.saliency": (0, 1e9), "loss.collaboration": (0, 1e9),
    "loss.classification": (0, 1e9), "loss.bce": (0, 1e9), "optimizer.lr": (0, 1e3),
    "optimizer.encoder_lr_scale": (0, 1e9), "optimizer.betas": (0, 0.9999999), "optimizer.drop_at": (0, 1),
    "train.epochs": (1, math.inf), "train.steps": (1, math.inf), "train.save_minutes": (0, 1e9),
    "validation.every": (1, math.inf),
}  # fmt: skip
NUMBER = re.compile(r"-?(0|[1-9]\d*)?(\.\d*)?(e[+-]?\d+)?", re.IGNORECASE)
SECTIONS: dict[str, Any] = {f.name: f.type for f in fields(Config) if is_dataclass(f.type)}
TYPES: dict[str, Any] = {f.name: f.type for f in fields(Config) if f.name not in SECTIONS} | {
    f"{section}.{f.name}": f.type for section, cls in SECTIONS.items() for f in fields(cls)
}


def load_config(path: Path | None = None, overrides: Sequence[str] = ()) -> Config:
    """Read settings (all optional) from the YAML file `path`, changed by overrides such as `data.root=/d`."""
    if path and not path.is_file():
        there = ", ".join(sorted(p.name for p in path.parent.glob("*.yaml"))) or "no .yaml file"
        raise ConfigError(f"no config {path} (there: {there})")
    settings = parse_yaml(path.read_bytes(), str(path)) if path else None
    return config_from_dict({} if settings is None else settings, overrides)


def config_from_dict(settings: Any, overrides: Sequence[str] = ()) -> Config:
    """Build a Config from nested plain `settings` and overrides `section.key=value`; raises ConfigError."""
    flat = flatten(settings)
    for override in overrides:
        key, _, text = override.partition("=")  # without "=", the text is empty, which no setting takes
        flat |= flatten({key: text})
    if isinstance(flat.get("data.cache"), bool):  # in older checkpoints, such as the weights `paper`
        flat["data.cache"] = "auto"
    parts: dict[str, dict[str, Any]] = {}
    for key, value in flat.items():
        if key not in TYPES:
            near = ", ".join(get_close_matches(key, TYPES, 3, cutoff=0.4)) or ", ".join(SECTIONS)
            raise ConfigError(f"unknown key {key}; nearest: {near}; all are in gconet/config.py")
        section, _, name = key.rpartition(".")
        parts.setdefault(section, {})[name] = check(TYPES[key], value, key)
    own = parts.pop("", {})
    return Config(**own, **{section: SECTIONS[section](**part) for section, part in parts.items()})


def flatten(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Flatten nested plain settings to section.key → value; raises ConfigError if a section is not a dict."""
    if not isinstance(settings, dict):
        name = prefix.rstrip(".") or "config"
        raise ConfigError(f"{name}: expected a section of keys, got {settings!r:.80}")
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= flatten(value, f"{key}.") if not prefix and key in SECTIONS else {f"{prefix}{key}": value}
    return flat


def config_to_dict(config: Config) -> dict[str, Any]:
    """Return a nested dict of lists and scalars, for YAML, JSON and checkpoints."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(config)))  # lists instead of tuples
    if len(config.data.train_set) == 1:
        plain["data"]["train_set"] = config.data.train_set[0]
    return plain


def parse_yaml(text: str | bytes, where: str) -> Any:
    """Parse YAML whose values are all text, as in overrides: to YAML, 010 is 8, 1:30 is 90, and 1e-4 is text.
    Raises ConfigError that begins with `where` if it is not valid."""
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.BaseLoader)):
            raise ValueError("aliases (*name) are not allowed: a few lines of them can exhaust memory")
        return yaml.load(text, yaml.BaseLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None


def check(kind: Any, value: Any, key: str) -> Any:
    """Return `value`, or what it says if it is text, as type `kind`, one of those that settings have;
    raises ConfigError. A single value is a list of one."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is UnionType:  # X | None
        return None if value in (None, "null") else check(args[0], value, key)
    if origin is tuple:
        if isinstance(value, str) and value.startswith("["):
            value = parse_yaml(value, key)
        values = value if isinstance(value, list | tuple) else [value]
        if args[-1] is not ... and len(values) != len(args):
            raise ConfigError(f"{key}: expected a list of {len(args)}, got {value!r:.80}")
        return tuple(check(args[0], one, key) for one in values)
    if kind is str and isinstance(value, str) and value:
        return str(Path(value).expanduser()) if value.startswith("~/") else value
    choices = (True, False) if kind is bool else args  # of a Literal
    with suppress(KeyError, ValueError, OverflowError):
        if choices:
            return {str(choice).lower(): choice for choice in choices}[str(value).lower()]
        if kind is not str and NUMBER.fullmatch(str(value)):
            return kind(str(value))
    expected = f"one of {', '.join(map(str, choices))}" if choices else kind.__name__
    raise ConfigError(f"{key}: expected {expected}, got {value!r:.80}")
