"""Export the network to an ONNX file for groups of any size, checked against PyTorch."""

import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from gconet.errors import CheckpointError, ConfigError
from gconet.files import write_file
from gconet.models import GCoNet

TOLERANCE = 1e-4
CHECKED = (1, 2, 7)  # group sizes


def export(net: GCoNet, size: int, output: Path) -> float:
    """Write `net` for `size` × `size` images to `output`; returns how far its maps are from PyTorch's. Raises
    CheckpointError if that is more than `TOLERANCE`, ConfigError if ONNX is not installed."""
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"{error.name} is not installed; pip install 'gconet[onnx]'") from None
    net.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's internal warnings
        program = torch.onnx.export(
            net,
            (torch.rand(3, 3, size, size, dtype=torch.float32, device="cpu"),),
            input_names=["images"],
            output_names=["maps"],
            dynamic_shapes=({0: torch.export.Dim("images", min=1, max=4096)},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # with `dynamo`
    file = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    worst = 0.0
    for count in CHECKED:
        coarse = np.random.RandomState(count).rand(count, 3, 8, 8).astype(np.float32)
        images = F.interpolate(torch.from_numpy(coarse), (size, size), mode="bicubic").clamp(0, 1)
        with torch.inference_mode():
            ours = net(images).numpy()
        [theirs] = session.run(["maps"], {"images": images.numpy()})
        worst = max(worst, float(np.nan_to_num(np.abs(ours - theirs), nan=1).max()))
    if worst > TOLERANCE:
        raise CheckpointError(f"onnxruntime's maps differ from PyTorch's by {worst:.1e}; not written")
    write_file(output, file)
    return worst
