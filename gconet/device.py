"""Which device and precision to compute with."""

import atexit
import ctypes
import math
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch

from gconet.errors import ConfigError

PATIENCE = timedelta(hours=2)  # of torchrun's other processes, while the first validates or the slowest works


def pick_device(name: str) -> torch.device:
    """`auto` (the current CUDA GPU, else the CPU) or a device by name; raises ConfigError."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    count = torch.cuda.device_count()
    known = ["cpu", *(["cuda"] if count else []), *(f"cuda:{i}" for i in range(count))]
    if name not in known:
        raise ConfigError(f"device {name!r}: this machine has {', '.join(known)}; or use auto")
    return torch.device(name)


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Compute with or without TF32 products, and leave the process's switches as they were."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def launched_ranks() -> tuple[int, int, int]:
    """This process's rank, how many there are, and its rank on this machine, as torchrun sets them.

    (0, 1, 0) unless all of its five variables are there: clusters leave some of them behind. Raises
    ConfigError if they are not numbers that fit.
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    if not all(name in os.environ for name in (*names, "MASTER_ADDR", "MASTER_PORT")):
        return 0, 1, 0
    values = [os.environ[name] for name in names]
    if not all(value.isdecimal() for value in values) or int(values[0]) >= int(values[1]):
        wrong = ", ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
        raise ConfigError(f"{wrong} in the environment; unset them, or start with torchrun")
    rank, world, local = map(int, values)
    return rank, world, local


def use_gpu(rank: int) -> None:
    """Make GPU number `rank` this process's `cuda`; raises ConfigError if there are fewer GPUs."""
    if rank >= torch.cuda.device_count():
        raise ConfigError(f"local rank {rank} has no GPU; give --nproc-per-node {torch.cuda.device_count()}")
    torch.cuda.set_device(rank)


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """`fp32`, `tf32`, `bf16`, or `auto`: bf16 where the hardware computes it natively, else fp32.

    Natively: compute capability of at least 8.0, and CPUs with AVX512-BF16. tf32 is float32 whose
    products a GPU rounds to 10 bits; this switches PyTorch to it, and away from it for the others.
    """
    if name == "auto":
        if device.type == "cuda":
            native = torch.cuda.get_device_capability(device) >= (8, 0)
        else:
            cpuinfo = Path("/proc/cpuinfo")
            native = device.type == "cpu" and cpuinfo.exists() and "avx512_bf16" in cpuinfo.read_text()
        name = "bf16" if native else "fp32"
    if name not in ("fp32", "tf32", "bf16"):
        raise ConfigError(f"precision {name!r} is not known; use auto, fp32, tf32 or bf16")
    if name == "tf32" and device.type != "cuda":
        raise ConfigError(f"precision tf32 needs a CUDA GPU, this is {device}; use auto, fp32 or bf16")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
    return torch.bfloat16 if name == "bf16" else torch.float32


def pick_memory_format(
    device: torch.device, precision: torch.dtype, *, training: bool
) -> torch.memory_format:
    """The fastest layout of weights and images: channels_last, except for true float32 on a GPU and for
    float32 training on AVX2 CPUs. `pick_precision` must have been called: it sets tf32.

    On an H200 a pair's maps took 33 ms in channels last and 17 ms by the reference path, which is not
    (and differs in more). On AVX2 a training step with groups of 4 took 18.8 s with it, 9.8 s without.
    """
    if precision != torch.float32:
        slow = False
    elif device.type == "cuda":
        slow = not torch.backends.cudnn.allow_tf32
    else:
        slow = training and torch.backends.cpu.get_cpu_capability() == "AVX2"
    return torch.contiguous_format if slow else torch.channels_last


def flush_denormals() -> None:
    """Treat numbers below 1e-38 as zero in this process. Call it before PyTorch starts its threads.

    Saturated sigmoids give such gradients, and many CPUs take far longer over them: fine-tuning the
    weights `paper` in float32 took 38.8 s a step with them and 4.5 s without, on 2 cores of a
    processor with AVX-512. Others, as an AMD EPYC with AVX512-BF16, lose nothing.
    """
    for kind in (np.float32, np.float64):
        np.finfo(kind)  # NumPy measures its smallest numbers once, and would warn afterwards
    torch.set_flush_denormal(True)


def keep_memory() -> None:
    """Let glibc keep freed memory for the next step instead of giving it back to the system.

    Otherwise every step's large tensors are mapped and cleared anew. Does nothing elsewhere.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(-4, 0)  # M_MMAP_MAX: no block is mapped on its own
        libc.mallopt(-1, -1)  # M_TRIM_THRESHOLD: the heap never shrinks


def autocast(device: torch.device, precision: torch.dtype) -> AbstractContextManager[None]:
    """Mixed precision if `precision` is bfloat16, else nothing."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == torch.bfloat16)


def peak_memory(device: torch.device) -> float:
    """GiB at most held so far: by PyTorch on a GPU, by the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    try:
        import resource
    except ImportError:  # Windows
        return math.nan
    unit = 1 if sys.platform == "darwin" else 2**10  # bytes on macOS, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def join_ranks(device: str, local: int) -> None:
    """Join torchrun's other processes until this one exits: by NCCL on the GPU number `local` unless
    `device` is the CPU."""
    gpu = device in ("auto", "cuda") and torch.cuda.is_available()
    if gpu:
        use_gpu(local)
    torch.distributed.init_process_group("nccl" if gpu else "gloo", timeout=PATIENCE)
    atexit.register(torch.distributed.destroy_process_group)
