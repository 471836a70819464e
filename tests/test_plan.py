"""What a training run and a group keep, and whether steps are recorded, by the memory that is free."""

import pytest
import torch

from gconet.config import load_config
from gconet.engine import plan as plan_module
from gconet.errors import ConfigError
from gconet.inference import memory
from gconet.inference.memory import plan_group
from gconet.models.affinity import BLOCK
from gconet.models.encoder import VGG16Encoder

GIB = 2**30
CPU, GPU = torch.device("cpu"), torch.device("cuda")
ENCODER = VGG16Encoder()
DUTS = 8250  # images: 1.54 GiB at 224 pixels


@pytest.fixture
def plan(monkeypatch):
    """`plan_training` for DUTS_class with so many GiB free on the GPU and in memory."""

    def plan(*changes, gpu=80.0, cpu=24.0, device=GPU, precision=torch.bfloat16, world=1, steps=14550):
        free = {"cuda": gpu, "cpu": cpu}
        monkeypatch.setattr(plan_module, "free_memory", lambda device: int(free[device.type] * GIB))
        config = load_config(None, changes)
        ENCODER.set_trainable(ENCODER.parts()[config.encoder.trainable])
        return plan_module.plan_training(
            config, ENCODER, device, precision, images=DUTS, steps=steps, world=world
        )

    return plan


def test_images_lie_where_they_fit(plan):
    assert plan() == plan(precision=torch.float32) == (True, GPU)
    assert plan(gpu=10.5) == (True, GPU)  # bf16, 2.6 GiB a step
    assert plan(gpu=10.5, precision=torch.float32) == (False, GPU)  # 6.3 GiB a step, no graphs
    assert plan(gpu=7.0, precision=torch.float32) == (False, CPU)
    assert plan(gpu=7.0, cpu=3.0, precision=torch.float32) == (False, None)
    assert plan(device=CPU) == (False, CPU) and plan(device=CPU, cpu=3.0) == (False, None)
    assert plan(steps=257) == (True, None) and plan(steps=258) == (True, GPU)


def test_settings_decide_before_memory_does(plan):
    names = ("device", "memory", "none")
    assert [plan(f"data.cache={name}", gpu=1.0, cpu=1.0)[1] for name in names] == [GPU, CPU, None]
    assert plan("train.graph=true", gpu=1.0)[0] is True and plan("train.graph=false")[0] is False
    for elsewhere in ({"device": CPU}, {"world": 2}):
        assert plan(**elsewhere)[0] is False
        with pytest.raises(ConfigError, match="train.graph"):
            plan("train.graph=true", **elsewhere)


def group_plan(images, size=224, **how):
    return plan_group(images, size, encoder=ENCODER, device=CPU, precision=torch.float32, **how)


def test_memory_decides_what_of_a_group_is_kept_and_too_little_is_refused(monkeypatch):
    roomy, tight = (group_plan(100, memory=m * 2**20) for m in (4000, 300))
    assert roomy.kept == 4 and roomy.block == BLOCK and tight.kept < 4
    kept = [group_plan(100, memory=m * 2**20).kept for m in range(250, 4000, 50)]
    assert kept == sorted(kept) and set(kept) == {0, 1, 2, 3, 4}
    assert group_plan(1, memory=2**28).batch == 1
    with pytest.raises(ConfigError, match=r"1000 images of 224 .*1\.\d+ GiB.*0\.50"):
        group_plan(1000, memory=2**29)
    with pytest.raises(ConfigError, match="5 images of 32"):
        group_plan(5, 32, memory=1000)
    for free in (2**29, 2**31, 2**36):
        monkeypatch.setattr(memory, "free_memory", lambda device, free=free: free)
        assert group_plan(20) == group_plan(20, memory=min(free // 2, memory.MODEST))
    monkeypatch.setattr(memory, "free_memory", lambda device: 0)
    assert (group_plan(20).batch, group_plan(20).kept) == (1, 0)
    assert group_plan(3000).kept == 0  # as much as it needs, even so,
    assert group_plan(1000).block >= 256 * 1000 * 14**2 * 4  # and large blocks, which are faster
