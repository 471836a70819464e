"""Properties that hold for whatever comes: settings, names of files, sizes of groups, recorded episodes."""

import tempfile
import unicodedata
from pathlib import Path

import numpy as np
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gconet.config import Config, config_from_dict, config_to_dict, flatten, load_config
from gconet.data.episodes import DrawnEpisodes
from gconet.data.groups import SUFFIXES, scan_groups
from gconet.errors import ConfigError, DataError

bounded = settings(max_examples=100, deadline=None, derandomize=True)

KEYS = [key for key in flatten(config_to_dict(Config())) if "." in key]
values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
    st.lists(st.floats(), max_size=3), st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
    st.sampled_from(["image", "group", "imagenet", "all", "sum", "fp32", 1, 3, 0.5, [0.9, 0.99]]),
)  # fmt: skip


@bounded
@given(
    st.dictionaries(
        st.sampled_from([*KEYS, "seed", "name", "init"]) | st.text(max_size=6), values, max_size=4
    )
)
def test_settings_are_taken_as_they_are_or_refused(changes):
    settings = config_to_dict(Config())
    try:
        for key, value in changes.items():
            section, dot, own = key.partition(".")
            if dot and isinstance(settings.get(section), dict):
                settings[section][own] = value
            else:
                settings[key] = value
        config = config_from_dict(settings)
    except ConfigError as error:
        assert str(error) and error.exit_status == 2
        return
    assert config_from_dict(yaml.safe_load(yaml.safe_dump(config_to_dict(config)))) == config
    for key, value in changes.items():
        section, _, own = key.partition(".")
        kept = getattr(getattr(config, section), own) if own else getattr(config, key)
        assert kept == (tuple(value) if isinstance(value, list) else value)


overrides = st.one_of(
    st.builds("{}={}".format, st.sampled_from([*KEYS, "seed", "name"]), st.text(max_size=10)),
    st.builds("{}={}".format, st.sampled_from(KEYS), st.integers() | st.floats(0, 1)), st.text(max_size=20),
)  # fmt: skip


@bounded
@given(st.lists(overrides, max_size=3), st.text(max_size=60))
def test_any_text_as_override_or_file_is_settings_or_an_error(overrides, text):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.yaml"
        path.write_text(text, encoding="utf-8")
        for read in (lambda: load_config(path), lambda: config_from_dict({}, overrides)):
            try:
                assert isinstance(read(), Config)
            except ConfigError as error:
                assert str(error)


letters = st.characters(exclude_characters="/\0", exclude_categories=("Cs",))
stems = st.text(letters, min_size=1, max_size=6).filter(lambda s: not s.startswith("."))
suffixes = st.sampled_from([*SUFFIXES, ".PNG", ".txt", ""])


@bounded
@given(st.dictionaries(stems, suffixes, max_size=5), st.dictionaries(stems, suffixes, max_size=5))
def test_pictures_pair_with_masks_of_their_stem_or_an_error_says_which_do_not(images, masks):
    with tempfile.TemporaryDirectory() as folder:
        for kind, names in (("images", images), ("gts", {**masks, **dict.fromkeys(images, ".png")})):
            (Path(folder) / kind / "g").mkdir(parents=True)
            for stem, suffix in names.items():
                (Path(folder) / kind / "g" / f"{stem}{suffix}").touch()
        expected = {}
        for stem, suffix in images.items():
            path = Path(f"{stem}{suffix}")
            if path.suffix.lower() in SUFFIXES:
                expected.setdefault(unicodedata.normalize("NFC", path.stem), []).append(path.name)
        try:
            [group] = scan_groups(Path(folder) / "images", Path(folder) / "gts")
        except DataError as error:
            assert str(error)
            return
        assert {item.stem: [item.image.name] for item in group.items} == expected
        assert [item.stem for item in group.items] == sorted(expected)
        for item in group.items:
            assert item.mask.parent.parent.name == "gts"
            assert unicodedata.normalize("NFC", item.mask.stem) == item.stem


@bounded
@given(
    st.lists(st.integers(1, 40), min_size=2, max_size=8), st.integers(0, 2**32 - 1), st.integers(1, 20),
    st.integers(0, 1000), st.floats(0, 1), st.floats(0, 180),
)  # fmt: skip
def test_episodes_are_pairs_of_distinct_images_of_two_classes(sizes, seed, group_size, epoch, flip, rotation):
    episodes = DrawnEpisodes(
        sizes=tuple(sizes), seed=seed, group_size=group_size, flip=flip, rotation=rotation
    )
    drawn, again = episodes.epoch(epoch), episodes.epoch(epoch)
    starts = np.cumsum([0, *sizes])
    assert sorted(episode.labels[0] for episode in drawn) == list(range(len(sizes)))
    assert episodes.steps == len(drawn)
    for episode, same in zip(drawn, again, strict=True):
        n = min(group_size, *(sizes[label] for label in episode.labels))
        assert episode.labels[0] != episode.labels[1]
        assert len(set(episode.images)) == len(episode.images) == 2 * n
        for half, label in enumerate(episode.labels):
            own = episode.images[half * n : (half + 1) * n]
            assert ((starts[label] <= own) & (own < starts[label + 1])).all()
        assert (np.abs(episode.angles) <= rotation + 1e-4).all() and episode.flips.dtype == bool
        assert all((getattr(episode, k) == getattr(same, k)).all() for k in ("images", "angles", "flips"))
