"""Properties that hold for any settings."""

import tempfile
from pathlib import Path

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gconet.config import Config, config_from_dict, config_to_dict, flatten, load_config
from gconet.errors import ConfigError

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
