"""Settings: strict, complete, and the release's recipe by default."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gconet.config import Config, config_from_dict, config_to_dict, load_config
from gconet.errors import ConfigError
from tests.conftest import ROOT


@pytest.mark.parametrize("path", sorted((ROOT / "configs").rglob("*.yaml")), ids=lambda p: p.name)
def test_every_shipped_config_loads_and_says_how_to_run_it(path):
    config = load_config(path)
    assert config.name
    assert path.read_text().startswith("# python ")


def test_shipped_configs_differ_from_the_defaults_only_where_they_say():
    assert load_config(ROOT / "configs/gconet.yaml") == Config()
    ours, release = config_to_dict(load_config(ROOT / "configs/gconet_paper.yaml")), config_to_dict(Config())
    changed = {f"{section}.{key}" for section in ours if isinstance(ours[section], dict)
               for key in ours[section] if ours[section][key] != release[section][key]}  # fmt: skip
    assert changed == {"gam.kernel_size", "gam.softmax", "gam.output_conv", "encoder.trainable",
                       "optimizer.lr", "optimizer.encoder_lr_scale", "loss.iou_reduction"}  # fmt: skip


def test_settings_are_read_saved_and_overridden(tmp_path):
    config = load_config(None, ["data.root=/d", "optimizer.betas=[0.5, 0.6]", "train.steps=7"])
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(config_to_dict(config)))
    assert load_config(path) == config
    assert config.train.steps == 7 and config.optimizer.betas == (0.5, 0.6)
    assert load_config(None, ["gam.kernel_size=3"]).gam.kernel_size == 3


def test_one_training_set_is_a_name_and_several_are_a_list():
    one, two = load_config(None, ["data.train_set=a"]), load_config(None, ["data.train_set=[a, b]"])
    assert (one.data.train_set, two.data.train_set) == (("a",), ("a", "b"))
    assert [config_to_dict(c)["data"]["train_set"] for c in (one, two)] == ["a", ["a", "b"]]
    assert all(config_from_dict(config_to_dict(c)) == c for c in (one, two))


@pytest.mark.parametrize(("override", "named"), [
    ("optimizer.learning_rate=1", "optimizer.learning_rate"), ("optimiser.lr=1", "optimiser.lr.*optimizer"),
    ("train.epochs=many", "train.epochs"), ("train.epochs=2.5", "train.epochs"),
    ("train.epochs=true", "train.epochs"), ("data.cache=1", "data.cache.*auto, device, memory, none"),
    ("train.graph=yes please", "train.graph.*auto, True, False"),
    ("gam.softmax=all", "gam.softmax.*image, group"), ("optimizer.betas=[0.9]", "optimizer.betas"),
    ("data=3", "data"), ("seed", "seed"), ("name.x=1", "name.x"), ("train.epochs=0", "train.epochs"),
    ("name=../up", "name.*../up"), ("data.flip=2", "data.flip"), ("train.steps=0", "train.steps"),
    ("gam.kernel_size=1.0", "gam.kernel_size"), ("optimizer.lr=-1", "optimizer.lr"),
    ("optimizer.lr=nan", "optimizer.lr"), ("optimizer.betas=[1.5, 2]", "optimizer.betas"),
    ("seed=5000000000", "seed"), ("name=", "name"),
    ("data.train_set=[a, a]", "data.train_set"), ("data.train_set=[]", "data.train_set"),
    ("data.shares=[1, 2]", "data.shares"), ("data.shares=[0]", "data.shares"),
    ("validation.set=DUTS_class", "validation.set.*data.train_set"),
    ("seed=" + 5000 * "9", "name|seed"), ("data.shares=" + 2000 * "[", "data.shares"),
    ("optimizer.lr=1" + 400 * "0", "optimizer.lr"), ("name=a\0b", "name"), ("name=a\nb", "name"),
    ("data.image_size=60000", "data.image_size.*32 and 2048"), ("a.yaml", "a.yaml"),
])  # fmt: skip
def test_a_wrong_setting_is_named(override, named):
    with pytest.raises(ConfigError, match=named) as caught:
        load_config(None, ["name=x", override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["data.group_size=8", "data.flip=0", "data.rotation=0"])
def test_a_contradiction_names_both_keys(key):
    with pytest.raises(ConfigError, match=f"{key.split('=')[0]}.*data.episodes"):
        load_config(None, ["data.episodes=e.npz", key])


def test_files_that_are_missing_no_mapping_or_full_of_aliases_are_named(tmp_path):
    (tmp_path / "broken.yaml").write_text("a: [1")
    for name in ("none.yaml", "broken.yaml"):
        with pytest.raises(ConfigError, match=name):
            load_config(tmp_path / name)
    for other in ("[]", "0", "false", "- a\n- b\n"):
        (tmp_path / "other.yaml").write_text(other)
        with pytest.raises(ConfigError, match="section"):
            load_config(tmp_path / "other.yaml", ["seed=1"])
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join(9 * [f'*{a}'])}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    (tmp_path / "laughs.yaml").write_text("\n".join(lines))
    with pytest.raises(ConfigError, match="laughs.yaml"):
        load_config(tmp_path / "laughs.yaml")


def test_what_works_without_torch_does_not_import_it():
    modules = ("config", "errors", "data.groups", "data.images", "data.toy", "evaluation")
    code = f"import sys, gconet.{', gconet.'.join(modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(ROOT), check=False).returncode == 0
