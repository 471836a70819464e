"""What a device can do: its precisions, memory layout, free memory and waiting. Nothing else asks.

CPUs and CUDA GPUs were tried; other accelerators (mps, xpu, …) were not. They compute in float32 unless told
otherwise, and the host waits for every copy.
"""

import atexit
import ctypes
import math
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gconet.errors import ConfigError
from gconet.machine import free_main_memory, processors

GUESS = 2**32  # bytes assumed to be free if the system does not report them
AHEAD = {"cuda": 8}  # steps whose numbers may still be on their way to the host; else 0: it waits
# PyTorch 2.9 has new switches for reduced float32 precision; after a mix of new and old ones it raises
BACKENDS: Any = torch.backends
NEW = hasattr(BACKENDS, "fp32_precision")
SWITCH, CONVOLUTIONS = ("fp32_precision", BACKENDS.cudnn.conv) if NEW else ("allow_tf32", BACKENDS.cudnn)
UNSET, OFF, ON = ("none", "ieee", "tf32") if NEW else (False, False, True)
GPU_SWITCHES = [BACKENDS.cuda.matmul, CONVOLUTIONS]
CPU_SWITCHES = [BACKENDS.mkldnn.matmul, BACKENDS.mkldnn.conv] if NEW else []
_process = 0  # id of the process that computed first
PRECISIONS = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(name: str) -> torch.device:
    """Return the device called `name`; `auto`: the current accelerator, else the CPU. Raises ConfigError."""
    gpu = torch.accelerator.current_accelerator(check_available=True)
    if name == "auto":
        return gpu or torch.device("cpu")
    known = ["cpu"]
    if gpu:
        known += [gpu.type, *(f"{gpu.type}:{i}" for i in range(torch.accelerator.device_count()))]
    if name not in known:
        raise ConfigError(f"device {name!r} is not available; choose from auto, {', '.join(known)}")
    return torch.device(name)


def runs_ahead(device: torch.device) -> bool:
    """Return whether the host may run ahead of `device`, with pinned memory, events and graphs."""
    return device.type == "cuda"


def put(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy from the host to `device`; the host does not wait if it may run ahead."""
    ahead = runs_ahead(device)
    return (tensor.pin_memory() if ahead else tensor).to(device, non_blocking=ahead)


def copy_to_host(values: Tensor) -> tuple[Tensor, Any]:
    """Start to copy `values`; return the copy and the event that completes it, or None if it is complete."""
    if not runs_ahead(values.device):
        return values.to("cpu", copy=True), None
    copy, arrived = values.to("cpu", non_blocking=True, copy=True), torch.cuda.Event(enable_timing=True)
    arrived.record()
    return copy, arrived


def set_tf32(allowed: bool) -> None:
    """Let GPUs compute float32 products in TF32 or not, and CPUs only in full float32."""
    for switch in GPU_SWITCHES + CPU_SWITCHES:
        setattr(switch, SWITCH, ON if allowed and switch in GPU_SWITCHES else OFF)


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Compute as after `set_tf32(allowed)`, then restore the process's switches."""
    found = [(switch, getattr(switch, SWITCH)) for switch in GPU_SWITCHES + CPU_SWITCHES]
    set_tf32(allowed)
    try:
        yield
    finally:
        for switch, value in found:
            for one in (UNSET, value):  # it may have inherited its value
                if getattr(switch, SWITCH) != value:
                    setattr(switch, SWITCH, one)


def launched_ranks() -> tuple[int, int, int]:
    """Return this process's rank, the number of ranks, and its rank on this machine; (0, 1, 0) unless it was
    started by torchrun."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:  # a cluster may have set the others
        return 0, 1, 0
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_RANK"])


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the dtype of `fp32`, `tf32`, `bf16`, `fp16` or `auto`; raises ConfigError.

    `auto` is bf16 on CUDA GPUs of capability 8.0 and more and CPUs with AVX512-BF16, fp16 on GPUs of 7.x
    (V100, T4, RTX 20xx; not GTX 16xx, where fp16 convolutions return NaN: pytorch/pytorch#77955), else fp32.
    tf32 is float32 whose products a GPU rounds to 10 bits; it is switched on for `tf32` and off for others.
    """
    if name == "auto" and device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        fast = major == 7 and "GTX 16" not in torch.cuda.get_device_name(device)
        name = "bf16" if major >= 8 else "fp16" if fast else "fp32"
    elif name == "auto":
        about = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
        name = "bf16" if device.type == "cpu" and "avx512_bf16" in about else "fp32"
    known = [kind for kind in PRECISIONS if kind != "tf32" or device.type == "cuda"]
    if name not in known:
        raise ConfigError(f"precision {name!r} is not available on {device}; use auto, {', '.join(known)}")
    set_tf32(name == "tf32")
    return PRECISIONS[name]


def pick_memory_format(device: torch.device, dtype: torch.dtype, *, training: bool) -> torch.memory_format:
    """The fastest layout of weights and images: channels_last, except for true float32 on a CUDA GPU, for
    float32 training on AVX2 CPUs (docs/benchmarks.md), and on other accelerators. Call `pick_precision`
    first: it sets tf32."""
    slow = device.type != "cpu"
    if device.type == "cuda":
        slow = dtype == torch.float32 and getattr(CONVOLUTIONS, SWITCH) != ON
    elif device.type == "cpu" and training and dtype == torch.float32:
        slow = torch.backends.cpu.get_cpu_capability() == "AVX2"
    return torch.contiguous_format if slow else torch.channels_last


def flush_denormals() -> None:
    """Treat numbers below 1e-38 as zero in this process: saturated sigmoids produce such gradients, and many
    CPUs are slow with them (docs/benchmarks.md). Call it before PyTorch starts its threads."""
    for kind in (np.float32, np.float64):
        np.finfo(kind)  # NumPy measures its smallest numbers once; after the switch it would warn
    torch.set_flush_denormal(True)


def keep_memory() -> None:
    """Let glibc keep freed memory: otherwise each step's large tensors are mapped and zeroed again."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(-4, 0)  # M_MMAP_MAX: no block is mapped separately
        libc.mallopt(-1, -1)  # M_TRIM_THRESHOLD: the heap never shrinks


def settle_threads(device: torch.device) -> None:
    """Call this before computing on `device`: PyTorch then uses at most one thread per processor that this
    process may use, or one in a fork of a process that has called it: a fork lacks OpenMP's other threads,
    and would wait for them for ever. Raises ConfigError if the other process has used the GPU `device`."""
    global _process
    _process = _process or os.getpid()
    if getattr(torch.get_device_module(device), "_is_in_bad_fork", bool)():
        raise ConfigError("a forked process cannot use the GPU of the first one; start it with spawn instead")
    most = processors() if _process == os.getpid() else 1
    if torch.get_num_threads() > most:
        torch.set_num_threads(most)


def autocast(device: torch.device, precision: torch.dtype) -> AbstractContextManager[None]:
    """Return a context of mixed precision if `precision` has 16 bits; otherwise none."""
    half = precision != torch.float32
    return torch.autocast(device.type, dtype=precision if half else torch.bfloat16, enabled=half)


def gpu_name() -> str:
    """Return the name or the kind of this machine's accelerator, or `none`."""
    gpu = torch.accelerator.current_accelerator(check_available=True)
    return str(getattr(torch.get_device_module(gpu), "get_device_name", lambda: gpu)()) if gpu else "none"


def peak_memory(device: torch.device) -> float:
    """Return the peak memory so far in GiB: of PyTorch on a GPU with its own memory, else of the process."""
    if peak := getattr(torch.get_device_module(device), "max_memory_allocated", None):
        return float(peak(device)) / 2**30
    if sys.platform == "win32":
        return math.nan
    import resource

    unit = 1 if sys.platform == "darwin" else 2**10  # bytes on macOS, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def free_memory(device: torch.device) -> int:
    """Return the bytes available now: of a GPU's own memory, or this rank's share of main memory (see
    `free_main_memory`; of `GUESS` if the system does not report it)."""
    gpu = torch.get_device_module(device)
    if hasattr(gpu, "mem_get_info"):
        unused = gpu.memory_reserved(device) - gpu.memory_allocated(device)
        return int(gpu.mem_get_info(device)[0]) + unused
    free = free_main_memory()
    return (GUESS if free is None else free) // int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def join_ranks(name: str, local: int) -> None:
    """Join torchrun's process group until this process exits: with NCCL on CUDA GPU number `local`, or with
    gloo if `name` is the CPU or a certain GPU. Raises ConfigError if there are fewer GPUs."""
    device, backend = pick_device(name), "gloo"
    if device.type != "cpu" and device.index is None:
        if local >= (count := torch.accelerator.device_count()):
            raise ConfigError(f"local rank {local} has no GPU; use --nproc-per-node {count}")
        torch.accelerator.set_device_index(local)
        backend = {"cuda": "nccl", "xpu": "xccl"}.get(device.type, backend)
    # the others wait while the first rank validates
    torch.distributed.init_process_group(backend, timeout=timedelta(hours=2))
    atexit.register(torch.distributed.destroy_process_group)
