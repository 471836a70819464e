"""GCoNet: group collaborative learning for co-salient object detection (Fan et al., CVPR 2021).

import gconet

maps = gconet.Predictor.load()("photos/bikes")  # one group's co-saliency maps, a list of (H,W) uint8
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gconet.models import GCoNet
    from gconet.predictor import Predictor as Predictor

__version__ = "0.1.0"


def load_pretrained(name: str = "pretrained") -> "GCoNet":
    """The network with trained weights that ship (gconet/weights/README.md), in eval mode on the CPU.

    `name`: `distractors`, trained to tell the common object from others, which test.py uses by default; or
    `paper`, trained by the recipe of the authors' release.

    Called with RGB images of one group, (N,3,H,W) float32 in [0,1], best 224 × 224, it gives their
    co-saliency maps (N,1,H,W) in [0,1]; `Predictor` does it from picture files. Raises CheckpointError
    if there are no weights of that name, or the file is missing or altered.
    """
    from gconet.checkpoint import find_checkpoint, load_model  # here: most of the package needs no torch

    return load_model(find_checkpoint(name))[0]


def __getattr__(name: str) -> Any:
    """`Predictor`, imported when it is first used: scoring and the applications need no torch."""
    if name == "Predictor":
        from gconet.predictor import Predictor

        return Predictor
    raise AttributeError(f"module 'gconet' has no attribute {name!r}")
