"""--reference, --object, remember and objects on the command line."""

import csv
import shutil

import numpy as np
import pytest
from PIL import Image

from gconet.checkpoint import save_checkpoint
from gconet.cli.cutouts import main as cutouts
from gconet.cli.maps import main as maps
from gconet.cli.objects import main as objects
from gconet.cli.remember import main as remember
from gconet.config import load_config
from gconet.errors import ConfigError, DataError
from gconet.inference import folders
from gconet.inference import reference as module
from gconet.inference.reference import Reference, write_references
from tests.conftest import NARROW, lively
from tests.test_one_command import call, names, photos  # noqa: F401


@pytest.fixture(scope="module")
def checkpoint(toy, tmp_path_factory):
    """A small network whose maps depend on the reference."""
    config = load_config(None, ["data.image_size=32", NARROW])
    path, files = tmp_path_factory.mktemp("run") / "last.pt", sorted((toy / "images/toy").glob("*/*"))
    save_checkpoint(path, config=config, model=lively(config, files))
    return path


@pytest.fixture
def shown(photos):  # noqa: F811
    """A folder of references."""
    (photos / "refs").mkdir()
    for path in sorted((photos / "loose").glob("*.jpg"))[:2]:
        shutil.copy(path, photos / f"refs/r{path.name}")
    return photos / "refs"


def same_maps(a, b, count):
    assert names(a) and len([n for n in names(a) if n.endswith(".png")]) == count
    return all((a / n).read_bytes() == (b / n).read_bytes() for n in names(a) if n.endswith(".png"))


def presence(folder):
    with (folder / "presence.csv").open(newline="") as file:
        return {row["image"]: float(row["presence"]) for row in csv.DictReader(file)}


def test_a_reference_is_a_folder_or_a_file(call, photos, shown):  # noqa: F811
    cats, dogs = photos / "in/cats", photos / "elsewhere/dogs"
    status, _ = call(maps, cats, dogs, "--reference", shown, "--output", photos / "both")
    assert status == 0
    for folder in (cats, dogs):  # a map does not depend on the others
        call(maps, folder, "--reference", shown, "--output", photos / folder.name)
        assert same_maps(photos / folder.name / folder.name, photos / "both" / folder.name, 4)
    status, printed = call(remember, shown, "--output", photos / "cat.reference")
    assert status == 0 and str(photos / "cat.reference") in printed.out
    assert Reference.load(photos / "cat.reference").name == "cat"
    call(maps, cats, "--reference", photos / "cat.reference", "--output", photos / "file")
    assert same_maps(photos / "file/cats", photos / "cats/cats", 4)
    call(maps, cats, "--output", photos / "own")
    assert not same_maps(photos / "own/cats", photos / "cats/cats", 4)
    # a single picture has a presence as well, and is not called alone
    one = next(cats.glob("*.jpg"), None) or sorted(cats.glob("*.png"))[0]
    _, printed = call(maps, one, "--reference", shown, "--output", photos / "one")
    assert 0 <= presence(photos / "one")[one.stem] <= 1 and "alone" not in printed.out
    with pytest.raises(ConfigError, match="cat.reference already exists"):
        call(remember, shown, "--output", photos / "cat.reference")
    before = one.read_bytes()
    with pytest.raises(ConfigError, match=one.name):
        call(remember, shown, "--overwrite", "--output", one)
    assert one.read_bytes() == before


def test_folders_of_references_pair_up_with_groups_by_name(call, photos, shown):  # noqa: F811
    cats, dogs = photos / "in/cats", photos / "elsewhere/dogs"
    shutil.copytree(shown, photos / "pairs/cats")
    shutil.copytree(cats, photos / "pairs/dogs")
    shutil.copytree(cats, photos / "pairs/unused")
    assert call(maps, cats, dogs, "--reference", photos / "pairs", "--output", photos / "both")[0] == 0
    for folder in (cats, dogs):
        given = ["--reference", photos / "pairs" / folder.name, "--output", photos / folder.name]
        call(maps, folder, *given)
        assert same_maps(photos / folder.name / folder.name, photos / "both" / folder.name, 4)
    call(maps, dogs, "--reference", shown, "--output", photos / "other")
    assert not same_maps(photos / "other/dogs", photos / "both/dogs", 4)


def test_pictures_that_lack_the_object_get_no_cut_out(call, photos, shown):  # noqa: F811
    cats = photos / "in/cats"
    call(maps, cats, "--reference", shown, "--output", photos / "m")
    levels = sorted((level, stem) for stem, level in presence(photos / "m").items())
    for least, missing in ((np.mean([levels[1][0], levels[2][0]]), 2), (1.1, 4)):
        out = photos / f"out{missing}"
        given = ["--reference", shown, "--presence", least, "--output", out]
        status, printed = call(cutouts, cats, *given)
        assert status == 0 and f"{missing} of 4 seem to lack the object" in printed.out
        absent = {stem for _, stem in levels[:missing]}
        assert all(f"cats/{stem}" in printed.out for stem in absent)
        assert {path.stem for path in (out / "cutouts").rglob("*.png")} == {s for _, s in levels} - absent
        assert len([name for name in names(out / "maps") if name.endswith(".png")]) == 4


def test_with_a_reference_a_few_pictures_are_in_memory_at_a_time(call, photos, shown, monkeypatch):  # noqa: F811
    monkeypatch.setattr(folders, "PART", 2)
    sizes, read = [], folders.read_groups

    def seen(groups, size, *, ahead, **options):
        for group in read(groups, size, ahead=ahead, **options):
            sizes.append((len(group.sizes), ahead))
            yield group

    monkeypatch.setattr(folders, "read_groups", seen)
    for i in range(3):  # 7 pictures, one of them damaged
        shutil.copy(sorted((photos / "loose").glob("*.*"))[i], photos / f"in/cats/more{i}.png")
    (photos / "in/cats/more2.png").write_bytes(b"x")
    compared, presence_of = [], folders.presence_of
    watch = lambda vectors, look: compared.append(len(vectors)) or presence_of(vectors, look)  # noqa: E731
    monkeypatch.setattr(folders, "presence_of", watch)
    status, printed = call(maps, photos / "in/cats", "--reference", shown, "--output", photos / "m")
    assert status == 1 and "more2.png" in printed.err and "6 maps of 1 group" in printed.out
    assert sizes == [(2, 4), (2, 4), (2, 4), (0, 4)]
    assert compared == [6] and len(presence(photos / "m")) == 6  # presence is of the folder as a whole


def test_wrong_references_are_named(call, photos, shown):  # noqa: F811
    cats, dogs = photos / "in/cats", photos / "elsewhere/dogs"
    out = ["--output", photos / "out"]
    shutil.copytree(shown, photos / "pairs/cats")
    (shown / "damaged.png").write_bytes(b"x")
    for wrong, error, given in (
        ("dogs", DataError, [cats, dogs, "--reference", photos / "pairs", *out]),
        ("damaged.png", DataError, [cats, "--reference", shown, *out]),
        ("none", DataError, [cats, "--reference", photos / "none", *out]),
        ("also one of the photographs", DataError, [cats, "--reference", cats, *out]),
        ("--reference and --object", ConfigError, [cats, "--reference", cats, "--object", "cat", *out]),
    ):
        with pytest.raises(error, match=wrong):
            call(maps, *given)
    with pytest.raises(ConfigError, match="--maps"):
        call(cutouts, cats, "--maps", cats, "--reference", shown, *out)
    assert not (photos / "out").exists()


@pytest.fixture
def shipped(call, photos, monkeypatch):  # noqa: F811
    """A file of four objects, made from one picture each, by the small network."""
    made = []
    for i, name in enumerate(["sports car", "police-car", "scarf", "car wheel"]):
        noise = np.random.RandomState(i).randint(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(noise).save(photos / "x.png")
        call(remember, photos / "x.png", "--output", photos / f"{name}.reference")
        made.append(Reference.load(photos / f"{name}.reference"))
    write_references(photos / "objects.npz", made, np.float16)
    monkeypatch.setattr(module, "OBJECTS", photos / "objects.npz")
    return made


def test_objects_go_by_name_or_by_a_whole_word_of_it(call, photos, shipped, monkeypatch, capsys):  # noqa: F811
    for word, found in (("car", {0, 1, 3}), ("Sports_Car", {0}), ("police car", {1}), ("scarf", {2})):
        assert {one.name for one in module.find_objects(word)} == {shipped[i].name for i in found}
        mean = np.mean([shipped[i].vector for i in found], 0)
        named = Reference.named(word)
        np.testing.assert_allclose(named.vector, mean, rtol=2e-3, atol=1e-5)
        assert np.linalg.norm(named.appearance) == pytest.approx(1, rel=1e-3)
    with pytest.raises(ConfigError, match="sports"):
        module.find_objects("sport")
    monkeypatch.setattr("sys.argv", ["gconet objects", "car"])
    assert objects() == 0
    assert capsys.readouterr().out.split("\n")[:3] == ["car wheel", "police-car", "sports car"]
    cats = photos / "in/cats"
    assert call(maps, cats, "--object", "scarf", "--output", photos / "a")[0] == 0
    call(maps, cats, "--reference", photos / "scarf.reference", "--output", photos / "b")
    for name in (name for name in names(photos / "a/cats") if name.endswith(".png")):
        a, b = (np.asarray(Image.open(photos / x / "cats" / name)).astype(int) for x in "ab")
        assert np.abs(a - b).max() <= 2  # the shipped file has float16
    others = [Reference(one.vector, one.appearance, one.name, "other") for one in shipped]
    write_references(photos / "objects.npz", others)
    with pytest.raises(ConfigError, match="scarf"):
        call(maps, cats, "--object", "scarf", "--output", photos / "c")
