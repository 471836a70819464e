"""What is computed in, and how tensors lie in memory."""

import pytest
import torch

from gconet.device import pick_memory_format

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
