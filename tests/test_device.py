"""What is computed in, and how tensors lie in memory."""

import pytest
import torch

from gconet.device import pick_device, pick_memory_format
from gconet.errors import ConfigError

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("device", "precision", "capability", "expected"),
    [
        (CPU, torch.float32, "AVX2", torch.contiguous_format),
        (CPU, torch.float32, "AVX512", torch.channels_last),
        (CPU, torch.bfloat16, "AVX2", torch.channels_last),
        (GPU, torch.float32, "AVX2", torch.channels_last),
    ],
)
def test_training_is_channels_last_but_for_float32_on_avx2(
    monkeypatch, device, precision, capability, expected
):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert pick_memory_format(device, precision) == expected


@pytest.mark.parametrize("name", ["mps", "meta", "xpu", "tpu9", "cuda:99"])
def test_other_devices_are_refused_by_name(name):
    with pytest.raises(ConfigError, match=f"device '{name}' is not"):
        pick_device(name)
