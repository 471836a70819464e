"""The commands that fetch weights and import episodes, on archives and checkouts made here."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from gconet.errors import ConfigError, DataError

SCRIPTS = Path(__file__).parents[1] / "scripts"


def load_script(name):
    spec = importlib.util.spec_from_file_location(Path(name).name, SCRIPTS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_main(module, monkeypatch, *args):
    monkeypatch.setattr(sys, "argv", ["script", *map(str, args)])
    return module.main()


# --- import_release_episodes ---

HEADER = "img_3,angle,img_2,flip,img_1,img_path,item,other_item\n"


def locate(name):
    return f"./data/images/DUTS_class/{name}.jpg"


def format_row(name, angle, flip, first, second):
    return f'"1,2,3",{angle},"1,2,3",{flip},"4,5,6",{locate(name)},{first},{second}\n'


@pytest.fixture
def checkout(tmp_path):
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


def test_import_gives_the_recorded_episodes(checkout, tmp_path, monkeypatch):
    out = tmp_path / "episodes.npz"
    assert run_main(load_script("tools/import_release_episodes"), monkeypatch, checkout, out) == 0
    with np.load(out, allow_pickle=False) as file:
        arrays = dict(file)
    assert {k: a.tolist() for k, a in arrays.items()} == {
        "format": "gconet-episodes-1",
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


def test_import_wants_a_whole_checkout(checkout, tmp_path, monkeypatch):
    module = load_script("tools/import_release_episodes")
    with pytest.raises(DataError, match=tmp_path.name):
        run_main(module, monkeypatch, tmp_path, tmp_path / "out.npz")
    (checkout / "df_dir" / "df_group_1.csv").unlink()
    with pytest.raises(FileNotFoundError, match="df_group_1.csv"):
        run_main(module, monkeypatch, checkout, tmp_path / "out.npz")
