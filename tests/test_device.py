"""What is computed in, and how tensors lie in memory."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from gconet.device import CONVOLUTIONS, ON, SWITCH, peak_memory, pick_device, pick_memory_format, tf32
from gconet.errors import ConfigError

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(("device", "precision", "capability", "allowed", "expected"), [
    (CPU, torch.float32, "AVX2", True, torch.contiguous_format),
    (CPU, torch.float32, "AVX512", False, torch.channels_last),
    (CPU, torch.bfloat16, "AVX2", False, torch.channels_last),
    (GPU, torch.float32, "AVX2", False, torch.contiguous_format),
    (GPU, torch.float32, "AVX2", True, torch.channels_last),
    (GPU, torch.bfloat16, "AVX2", False, torch.channels_last),
])  # fmt: skip
def test_networks_are_channels_last_but_for_true_float32_on_a_gpu_and_in_training_on_avx2(
    monkeypatch, device, precision, capability, allowed, expected
):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    with tf32(allowed):
        assert pick_memory_format(device, precision, training=True) == expected
        if device == CPU:
            expected = torch.channels_last
        assert pick_memory_format(device, precision, training=False) == expected


@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.parametrize("found", [(False, False), (False, True), (True, False), (True, True)])
def test_tf32_is_switched_in_any_version_of_pytorch_and_the_callers_choice_restored(found, allowed):
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    try:
        matmul.allow_tf32, cudnn.allow_tf32 = found  # the switches that all versions have
        with tf32(allowed):
            assert [getattr(switch, SWITCH) == ON for switch in (matmul, CONVOLUTIONS)] == [allowed, allowed]
        assert (matmul.allow_tf32, cudnn.allow_tf32) == found
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def test_peak_memory_is_in_gib_also_if_the_system_counts_bytes(monkeypatch):
    for platform, count in (("linux", 3 * 2**20), ("darwin", 3 * 2**30)):
        monkeypatch.setattr(sys, "platform", platform)
        monkeypatch.setattr("resource.getrusage", lambda who, count=count: SimpleNamespace(ru_maxrss=count))
        assert peak_memory(CPU) == 3


@pytest.mark.parametrize("name", ["mps", "meta", "xpu", "tpu9", "cuda:99"])
def test_other_devices_are_refused_by_name(name):
    with pytest.raises(ConfigError, match=f"{name}.*auto, cpu"):
        pick_device(name)


@pytest.mark.skipif(sys.platform != "linux", reason="for glibc")
def test_denormals_are_zero_on_every_thread_and_large_tensors_stay_in_the_heap():
    code = """
import numpy as np, torch
from gconet.device import flush_denormals, keep_memory
torch.set_num_threads(2)
flush_denormals()
print((torch.full((10**6,), 1e-30) * 1e-10).count_nonzero().item())
np.finfo(np.float64), np.finfo(np.float32)  # no warning
keep_memory()
first = torch.empty(10**8, dtype=torch.uint8)
heap = next(line for line in open("/proc/self/maps") if "[heap]" in line).split()[0]
start, end = (int(bound, 16) for bound in heap.split("-"))
print(start <= first.data_ptr() < end)
del first
print(next(line for line in open("/proc/self/maps") if "[heap]" in line).split()[0] == heap)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (["0", "True", "True"], "")
    assert (torch.full((10**6,), 1e-30) * 1e-10).count_nonzero() == 10**6  # otherwise, as here
