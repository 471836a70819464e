"""What is computed in, and how tensors lie in memory."""

import pytest
import torch

from gconet.device import pick_device, pick_memory_format
from gconet.errors import ConfigError

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("device", "precision", "capability", "tf32", "expected"),
    [
        (CPU, torch.float32, "AVX2", True, torch.contiguous_format),
        (CPU, torch.float32, "AVX512", False, torch.channels_last),
        (CPU, torch.bfloat16, "AVX2", False, torch.channels_last),
        (GPU, torch.float32, "AVX2", False, torch.contiguous_format),
        (GPU, torch.float32, "AVX2", True, torch.channels_last),
        (GPU, torch.bfloat16, "AVX2", False, torch.channels_last),
    ],
)
def test_networks_are_channels_last_but_for_true_float32_on_a_gpu_and_in_training_on_avx2(
    monkeypatch, device, precision, capability, tf32, expected
):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", tf32)
    assert pick_memory_format(device, precision, training=True) == expected
    if device == CPU:
        expected = torch.channels_last
    assert pick_memory_format(device, precision, training=False) == expected


@pytest.mark.parametrize("name", ["mps", "meta", "xpu", "tpu9", "cuda:99"])
def test_other_devices_are_refused_by_name(name):
    with pytest.raises(ConfigError, match=f"device '{name}' is not"):
        pick_device(name)
