"""References: E of other pictures, kept, saved, and one picture at a time."""

import copy

import numpy as np
import pytest
import torch
from PIL import Image

from gconet.errors import ConfigError, DataError
from gconet.inference import predictor as module
from gconet.inference.predictor import Predictor
from gconet.inference.presence import cosine_to_others, presence_of
from gconet.inference.reference import Reference, write_references
from gconet.models.affinity import Consensus


@pytest.fixture(scope="module")
def predictor(model):
    return Predictor(copy.deepcopy(model), size=32, device="cpu", precision="fp32")


def same(some, others):
    return len(some) == len(others) and all(map(np.array_equal, some, others))


def test_pictures_as_their_own_reference_have_the_groups_maps(predictor, paths):
    for m, expected in zip(predictor(paths, reference=paths), predictor(paths), strict=True):
        assert np.abs(m.astype(int) - expected).max() <= 1  # other batches may be rounded differently


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_map_does_not_depend_on_the_other_pictures(model, paths, monkeypatch, precision):
    predictor = Predictor(copy.deepcopy(model), size=32, device="cpu", precision=precision)
    monkeypatch.setattr(module, "PART", 2)
    reference = predictor.remember(paths[:3])
    maps = predictor(paths, reference=reference)
    assert not same(maps, predictor(paths))
    assert same(predictor(paths[::-1], reference=reference), maps[::-1])
    alone = [predictor(path, reference=reference) for path in paths]
    assert same([m for one in alone for m in one], maps)
    streamed = []
    assert predictor.predict(paths, streamed.append, reference=reference).tolist() == maps.presence.tolist()
    assert same(streamed, maps)


def test_a_reference_is_what_remember_made_its_file_or_pictures(predictor, paths, tmp_path):
    reference = predictor.remember(paths[:2])
    reference.save(tmp_path / "cat.reference")
    loaded = Reference.load(tmp_path / "cat.reference")
    assert (loaded.name, loaded.weights) == (reference.name, predictor.digest)
    assert (loaded.vector == reference.vector).all() and (loaded.appearance == reference.appearance).all()
    assert (tmp_path / "cat.reference").stat().st_size < 10_000
    maps = predictor(paths[2:], reference=reference)
    opened = [Image.open(path) for path in paths[:2]]
    for other in (loaded, tmp_path / "cat.reference", paths[:2], opened, [np.asarray(x) for x in opened]):
        assert same(predictor(paths[2:], reference=other), maps)


def test_the_groups_own_pictures_count_if_asked(predictor, paths):
    reference = predictor.remember(paths[:2])
    mixed = predictor(paths[2:], reference=reference, include_group=True)
    own = predictor.remember(paths[2:])
    mean = Reference((own.vector + reference.vector) / 2, reference.appearance, "", predictor.digest)
    for m, expected in zip(mixed, predictor(paths[2:], reference=mean), strict=True):
        assert np.abs(m.astype(int) - expected).max() <= 1
    assert not same(mixed, predictor(paths[2:], reference=reference))


def turned(*degrees):
    """Unit vectors (n,2) at these angles from the first axis."""
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)


def test_presence_compares_a_picture_with_the_reference_and_with_pictures_that_lack_it():
    reference = turned(0)[0]
    cos = lambda angle: np.cos(np.deg2rad(angle))  # noqa: E731
    for few in ([10, 40], [10, *[80] * 7], [*[10] * 9, *[80] * 8]):  # most show it, or there are too few
        assert presence_of(turned(*few), reference) == pytest.approx([cos(a) for a in few])
    found = presence_of(turned(10, 50, *[90] * 8, 60), reference)  # nine lack it; an eighth of them is two
    nearest = [0.5, (cos(10) + cos(40)) / 2, *[1] * 8, cos(30)]
    expected = [0.6 + (cos(a) - d) / 2 for a, d in zip([10, 50, *[90] * 8, 60], nearest, strict=True)]
    assert found == pytest.approx(expected, abs=1e-6) and (found[:2] > 0.6).tolist() == [True, False]
    unlike_both = np.eye(3, dtype=np.float32)[[0, *[1] * 9, 2]]
    assert presence_of(unlike_both, np.eye(3, dtype=np.float32)[0])[-1] < 0.6


def test_a_picture_whose_map_is_empty_lacks_the_object_and_counts_for_no_other():
    reference, nothing = turned(0)[0], np.zeros((9, 2), np.float32)
    assert not presence_of(nothing, reference).any()
    heap = np.concatenate([turned(10, 50, *[90] * 8, 60), nothing])
    expected = [*presence_of(heap[:11], reference), *[0] * 9]
    assert presence_of(heap, reference).tolist() == expected
    few = np.concatenate([turned(10, 60), nothing])  # two of them, of which one lacks it
    assert presence_of(few, reference) == pytest.approx([*(few[:2] @ reference), *[0] * 9])
    assert presence_of(nothing[:0], reference).shape == (0,)


def test_presence_of_a_clear_folder_is_the_cosine_with_the_references_pictures(predictor, paths):
    reference = predictor.remember(paths[:3])
    assert np.linalg.norm(reference.appearance) == pytest.approx(1)
    together, alone = predictor(paths[:3]).presence, predictor(paths[:3], reference=reference).presence
    # each picture counts in the reference as well, so its cosine is higher than that with the others
    assert (alone > together).all() and np.isfinite(predictor(paths[0], reference=reference).presence).all()
    assert predictor(paths[:3], reference=paths[0]).presence[0] == pytest.approx(1)
    assert cosine_to_others(reference.appearance[None]).shape == (1,)


def test_other_weights_and_other_sizes_are_refused_and_precisions_are_not(model, predictor, paths):
    reference = predictor.remember(paths[:2])
    changed = copy.deepcopy(model)
    with torch.no_grad():
        changed.side1.layers[4].bias += 0.1
    for other in (Predictor(changed, size=32, device="cpu"), Predictor(copy.deepcopy(model), device="cpu")):
        with pytest.raises(ConfigError, match="2 pictures"):
            other(paths, reference=reference)
    half = Predictor(copy.deepcopy(model), size=32, device="cpu", precision="bf16")
    assert len(half(paths, reference=reference)) == len(paths)
    each = copy.deepcopy(model)
    each.affinity.forward = lambda features, block=None: Consensus(features, features[:, :1])
    with pytest.raises(ConfigError, match="gam.kind"):
        Predictor(each, size=32, device="cpu").remember(paths)


def test_files_that_are_not_references_are_named(predictor, paths, tmp_path):
    wrong, array, bad = tmp_path / "a.reference", tmp_path / "b.reference", tmp_path / "c.reference"
    wrong.write_bytes(b"PK\x03\x04")
    with array.open("wb") as file:
        np.save(file, np.array([{}], object), allow_pickle=True)
    one = predictor.remember(paths[:2])
    write_references(bad, [Reference(one.vector * np.nan, one.appearance, "x", one.weights)])
    for file in (wrong, array, bad):
        with pytest.raises(DataError, match=file.name):
            predictor(paths, reference=file)
    write_references(bad, [one, one])
    with pytest.raises(DataError, match="2 references"):
        Reference.load(bad)
    with pytest.raises(DataError, match="none.png"):
        predictor(paths, reference=[tmp_path / "none.png"])
