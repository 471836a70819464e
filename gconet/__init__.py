"""GCoNet: group collaborative learning for co-salient object detection (Fan et al., CVPR 2021)."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gconet.models import GCoNet

__version__ = "0.1.0"


def load_pretrained(name: str = "pretrained") -> "GCoNet":
    """The network with trained weights that ship (gconet/weights/README.md), in eval mode on the CPU.

    `name`: `distractors`, trained to tell the common object from others, which test.py uses by default; or
    `paper`, trained by the recipe of the authors' release.

    Called with RGB images of one group, (N,3,H,W) float32 in [0,1], best 224 × 224, it gives their
    co-saliency maps (N,1,H,W) in [0,1]; `gconet.inference.predict_group` does it from picture files.
    Raises CheckpointError if there are no weights of that name, or the file is missing or altered.
    """
    from gconet.checkpoint import find_checkpoint, load_model  # here: most of the package needs no torch

    return load_model(find_checkpoint(name))[0]
