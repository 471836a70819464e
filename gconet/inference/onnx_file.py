"""Export the network to an ONNX file for groups of any size, checked against PyTorch."""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gconet.errors import CheckpointError, ConfigError
from gconet.models import GCoNet

TOLERANCE = 1e-4
CHECKED = (1, 2, 7)  # group sizes


def export(net: GCoNet, size: int, output: Path) -> float:
    """Write `net` for `size` × `size` images to `output`, if its maps agree with PyTorch's.

    Returns the largest difference, on synthetic images. Raises CheckpointError if that is above `TOLERANCE`,
    ConfigError if ONNX is not installed.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"{error.name} is not installed; pip install 'gconet[onnx]'") from None
    net.eval()
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent) as folder:  # leaves no partial file behind
        file = Path(folder) / output.name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's internal warnings
            torch.onnx.export(
                WholeGroup(net).eval(),
                (torch.rand(3, 3, size, size),),
                file,
                input_names=["images"],
                output_names=["maps"],
                dynamic_shapes=({0: torch.export.Dim("images", min=1, max=4096)},),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        differences = []
        for count in CHECKED:
            coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(count))
            images = F.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1)
            with torch.inference_mode():
                ours = net(images).numpy()
            [theirs] = session.run(["maps"], {"images": images.numpy()})
            differences.append(np.abs(ours - theirs).max())
        worst = float(np.max(differences))  # NaN if one of them is
        if not worst <= TOLERANCE:
            raise CheckpointError(
                f"onnxruntime's maps differ from PyTorch's by {worst:.1e}, more than {TOLERANCE}; not written"
            )
        file.replace(output)
    return worst


class WholeGroup(nn.Module):
    """GCoNet with the whole affinity matrix at once: ONNX would unroll a loop over blocks."""

    def __init__(self, net: GCoNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """RGB images of one group (N,3,S,S) in [0,1] → maps (N,1,S,S) in [0,1]."""
        *stages, features = self.net.encode(images)
        vector = self.net.consensus(features, block=None).vector
        H, W = images.shape[-2:]
        return self.net.decode(self.net.laterals(stages), features, vector, (H, W))
