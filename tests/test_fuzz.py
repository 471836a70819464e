"""Properties that hold for any settings."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from gconet.config import Config, config_from_dict, config_to_dict, flatten, load_config
from gconet.errors import ConfigError

bounded = settings(max_examples=100, deadline=None, derandomize=True)

KEYS = [key for key in flatten(config_to_dict(Config())) if "." in key]
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
