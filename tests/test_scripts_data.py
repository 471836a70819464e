"""The command that imports the authors' recorded episodes, on a checkout made here."""

import numpy as np
import pytest

IMPORT = "scripts/tools/import_release_episodes.py"
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
            lines.append(f"{epoch}:{n}:{first},{second}:{''.join(locate(name) + ',' for name in names)}\n")
            for k, name in enumerate(names):
                rows.append(format_row(name, 10 * epoch + n + k / 8, k % 2, first, second))
        rows = sorted(rows) + [format_row("9/a", 77, 1, 1, 0)]  # a later row of the same image is not read
        (tmp_path / f"repo/group_dir/group_{epoch}.txt").write_text("".join(lines))
        (tmp_path / f"repo/df_dir/df_group_{epoch}.csv").write_text(HEADER + "".join(rows))
    return tmp_path / "repo"


def test_import_gives_the_recorded_episodes(checkout, tmp_path, run):
    out = tmp_path / "episodes.npz"
    run(IMPORT, checkout, out)
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
    assert [arrays[name].dtype for name in ("labels", "angle", "flip")] == [np.int16, np.float32, bool]
    assert out.name in run(IMPORT, checkout, out, status=2).stderr


def test_import_wants_a_whole_checkout(checkout, tmp_path, run):
    assert tmp_path.name in run(IMPORT, tmp_path, tmp_path / "out.npz", status=1).stderr
    (checkout / "df_dir" / "df_group_1.csv").unlink()
    assert "df_group_1.csv" in run(IMPORT, checkout, tmp_path / "out.npz", status=1).stderr
