"""GCoNet: group collaborative learning for co-salient object detection (Fan et al., CVPR 2021).

import gconet

predictor = gconet.Predictor.load()  # help(gconet.Predictor)
maps = predictor("photos/bikes")  # one group's co-saliency maps, a list of (H,W) uint8

Every error that you can fix is a GCoNetError: a DataError, ConfigError or CheckpointError.
"""

from typing import TYPE_CHECKING, Any

from gconet.errors import CheckpointError, ConfigError, DataError, GCoNetError

if TYPE_CHECKING:
    from gconet.inference.predictor import Predictor as Predictor
    from gconet.models import GCoNet

__version__ = "0.1.0"
__all__ = ["CheckpointError", "ConfigError", "DataError", "GCoNetError", "Predictor", "load_pretrained"]


def load_pretrained(name: str = "pretrained") -> "GCoNet":
    """Return the network with the shipped weights `distractors` (`pretrained`) or `paper`, in eval mode on
    the CPU; gconet/weights/README.md describes them.

    It takes RGB images of one group, (N,3,H,W) float32 in [0,1], preferably 224 × 224, and returns their
    co-saliency maps, (N,1,H,W) in [0,1]. Raises CheckpointError for another name, or an altered file.
    """
    from gconet.checkpoint import find_checkpoint, load_model  # lazy: most of the package needs no torch

    return load_model(find_checkpoint(name))[0]


def __getattr__(name: str) -> Any:
    """Import `Predictor` on first use: scoring and the applications do not need torch."""
    if name == "Predictor":
        from gconet.inference.predictor import Predictor

        return Predictor
    raise AttributeError(f"module 'gconet' has no attribute {name!r}")
