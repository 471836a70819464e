"""Write the network as an ONNX file for groups of any number of images, and check it.

    gconet export --output gconet.onnx                 in a clone also python scripts/export_onnx.py
    gconet export --checkpoint runs/gconet/last.pt --output gconet.onnx

Input `images`: RGB in [0,1], (N,3,S,S) float32, all images of one group; the normalisation is
inside. Output `maps`: co-saliency in [0,1], (N,1,S,S) float32. The affinity matrix of the whole
group exists in memory here: 0.25 GB for 40 images, 14 GB for 300.

The file is run by onnxruntime for groups of 1, 2 and 7 and must agree with PyTorch within 1e-4.
Needs pip install 'gconet[onnx]'. Exit status: 0 when it agrees, 1 for failures, 2 for wrong arguments.
"""

import argparse
import tempfile
import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gconet.checkpoint import find_checkpoint, load_model
from gconet.cli import add_checkpoint
from gconet.errors import CheckpointError, ConfigError
from gconet.models import GCoNet

TOLERANCE = 1e-4


class WholeGroup(nn.Module):
    """GCoNet with its whole affinity matrix: without loops, which ONNX would unroll."""

    def __init__(self, net: GCoNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """RGB images of one group (N,3,S,S) in [0,1] → maps (N,1,S,S) in [0,1]."""
        *stages, features = self.net.encode(images)
        vector = self.net.consensus(features, block=None).vector
        H, W = images.shape[-2:]
        return self.net.decode(self.net.laterals(stages), features, vector, (H, W))


def main() -> int:
    args = parse_args()
    if args.output.exists() and not args.overwrite:
        raise ConfigError(f"--output {args.output} exists; name another file, or pass --overwrite")
    if not args.output.parent.is_dir():
        raise ConfigError(f"--output {args.output}: no folder {args.output.parent}")
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"{error.name} is not installed; pip install 'gconet[onnx]'") from None
    net, config = load_model(find_checkpoint(args.checkpoint))
    size = config.data.image_size
    with tempfile.TemporaryDirectory(dir=args.output.parent) as folder:  # nothing half-written is left
        file = Path(folder) / args.output.name
        export(net.eval(), size, file)
        differences = [difference(net, size, file, count) for count in (1, 2, 7)]
        if not all(difference <= TOLERANCE for difference in differences):  # also if one is NaN
            listed = ", ".join(f"{difference:.1e}" for difference in differences)
            raise CheckpointError(
                f"onnxruntime's maps differ from PyTorch's by {listed}, more than {TOLERANCE}; not written"
            )
        file.replace(args.output)
    print(f"{args.output}: groups of 1, 2 and 7 agree with PyTorch within {max(differences):.1e}")
    return 0


def export(net: GCoNet, size: int, file: Path) -> None:
    """Write `net` for groups of any number of `size` × `size` images to `file`."""
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


def difference(net: GCoNet, size: int, file: Path, count: int) -> float:
    """The largest difference of the maps of `count` made-up images, onnxruntime's to PyTorch's."""
    import onnxruntime

    generator = torch.Generator().manual_seed(count)
    coarse = torch.rand(count, 3, 8, 8, generator=generator)
    images = F.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1)
    with torch.inference_mode():
        ours = net(images)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    theirs = torch.from_numpy(session.run(["maps"], {"images": images.numpy()})[0])
    return (ours - theirs).abs().max().item()


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_checkpoint(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the ONNX file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    return parser.parse_args()
