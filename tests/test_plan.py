"""What a training run keeps, and whether it records its steps, by the memory that is free."""

import pytest
import torch

from gconet.config import load_config
from gconet.engine import plan as plan_module
from gconet.errors import ConfigError
from gconet.models.encoder import VGG16Encoder

GIB = 2**30
CPU, GPU = torch.device("cpu"), torch.device("cuda")
DUTS = 8250  # images: 1.54 GiB at 224 pixels


@pytest.fixture
def plan(monkeypatch):
    """`plan_training` for DUTS_class with so many GiB free on the GPU and in memory."""

    def plan(*changes, gpu=80.0, cpu=24.0, device=GPU, precision=torch.bfloat16, world=1, steps=14550):
        free = {"cuda": gpu, "cpu": cpu}
        monkeypatch.setattr(plan_module, "free_memory", lambda device: int(free[device.type] * GIB))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
        config, encoder = load_config(None, changes), VGG16Encoder()
        encoder.set_trainable(config.encoder.trainable)
        return plan_module.plan_training(
            config, encoder=encoder, images=DUTS, steps=steps, device=device, precision=precision,
            world=world,
        )  # fmt: skip

    return plan


def test_images_lie_where_they_fit(plan, monkeypatch):
    assert plan() == plan(precision=torch.float32) == (True, GPU)
    assert plan(gpu=10.5) == (True, GPU)  # bf16, 2.6 GiB a step
    assert plan(gpu=10.5, precision=torch.float32) == (False, GPU)  # 6.3 GiB a step, no graphs
    assert plan(gpu=7.0, precision=torch.float32) == (False, CPU)
    assert plan(gpu=7.0, cpu=3.0, precision=torch.float32) == (False, None)
    assert plan(device=CPU) == (False, CPU) and plan(device=CPU, cpu=3.0) == (False, None)
    assert plan(steps=257) == (True, None) and plan(steps=258) == (True, GPU)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert plan(device=CPU, world=2, cpu=4.0)[1] is None and plan(device=CPU, world=2, cpu=8.0)[1] == CPU


def test_settings_decide_before_memory_does(plan):
    names = ("device", "memory", "none")
    assert [plan(f"data.cache={name}", gpu=1.0, cpu=1.0)[1] for name in names] == [GPU, CPU, None]
    assert plan("train.graph=true", gpu=1.0)[0] is True and plan("train.graph=false")[0] is False
    for elsewhere in ({"device": CPU}, {"world": 2}):
        assert plan(**elsewhere)[0] is False
        with pytest.raises(ConfigError, match="train.graph"):
            plan("train.graph=true", **elsewhere)
