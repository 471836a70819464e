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
from typing import Any

import numpy as np
import torch

from gconet.errors import ConfigError
from gconet.machine import free_main_memory, processors

GUESS = 2**32  # bytes assumed to be free if the system does not report them
# PyTorch 2.9 has new switches for reduced float32 precision; after a mix of new and old ones it raises
CUDNN: Any = torch.backends.cudnn
NEW = hasattr(torch.backends, "fp32_precision")
SWITCH, CONVOLUTIONS = ("fp32_precision", CUDNN.conv) if NEW else ("allow_tf32", CUDNN)
OFF, ON = ("ieee", "tf32") if NEW else (False, True)
_process: int | None = None  # the first one that computed
PATIENCE = timedelta(hours=2)  # how long ranks wait for the first one to validate, or for the slowest


def pick_device(name: str) -> torch.device:
    """Return the device called `name`; `auto`: the current CUDA GPU, else the CPU. Raises ConfigError."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    count = torch.cuda.device_count()
    known = ["cpu", *(["cuda"] if count else []), *(f"cuda:{i}" for i in range(count))]
    if name not in known:
        raise ConfigError(f"device {name!r} is not available; choose from auto, {', '.join(known)}")
    return torch.device(name)


def set_tf32(allowed: bool) -> list[tuple[Any, Any]]:
    """Let GPUs compute float32 products in TF32 or not, and CPUs only in full float32.

    Returns PyTorch's switches that this changed, each with the value that it had.
    """
    changed: list[tuple[Any, Any]] = []
    wanted: dict[Any, Any] = dict.fromkeys((torch.backends.cuda.matmul, CONVOLUTIONS), ON if allowed else OFF)
    if NEW:
        cpu: Any = torch.backends.mkldnn
        wanted |= {cpu.matmul: OFF, cpu.conv: OFF}
    for switch, value in wanted.items():
        found = getattr(switch, SWITCH)
        if found != value and (found, value) != ("none", "ieee"):  # "none": neither it nor its parent is set
            setattr(switch, SWITCH, value)
            changed.append((switch, found))
    return changed


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Compute as after `set_tf32(allowed)`, then restore the process's switches."""
    changed = set_tf32(allowed)
    try:
        yield
    finally:
        for switch, found in changed:
            if NEW:
                switch.fp32_precision = "none"  # it may have inherited what was found
            if getattr(switch, SWITCH) != found:
                setattr(switch, SWITCH, found)


def launched_ranks() -> tuple[int, int, int]:
    """Return this process's rank, the number of ranks, and its rank on this machine, as torchrun sets them.

    (0, 1, 0) unless all five of its variables are set: clusters may leave some of them behind. Raises
    ConfigError if they are not valid numbers.
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
        raise ConfigError(f"local rank {rank} has no GPU; use --nproc-per-node {torch.cuda.device_count()}")
    torch.cuda.set_device(rank)


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the dtype of `fp32`, `tf32`, `bf16` or `auto`: bf16 if supported natively, else fp32.

    Native support: a compute capability of at least 8.0, or a CPU with AVX512-BF16. tf32 is float32 whose
    products a GPU rounds to 10 bits; this function switches it on for `tf32` and off for the others.
    """
    if name == "auto":
        if device.type == "cuda":
            native = torch.cuda.get_device_capability(device) >= (8, 0)
        else:
            cpuinfo = Path("/proc/cpuinfo")
            native = device.type == "cpu" and cpuinfo.exists() and "avx512_bf16" in cpuinfo.read_text()
        name = "bf16" if native else "fp32"
    if name not in ("fp32", "tf32", "bf16"):
        raise ConfigError(f"unknown precision {name!r}; use auto, fp32, tf32 or bf16")
    if name == "tf32" and device.type != "cuda":
        raise ConfigError(f"precision tf32 needs a CUDA GPU, not {device}; use auto, fp32 or bf16")
    set_tf32(name == "tf32")
    return torch.bfloat16 if name == "bf16" else torch.float32


def pick_memory_format(
    device: torch.device, precision: torch.dtype, *, training: bool
) -> torch.memory_format:
    """The fastest layout of weights and images: channels_last, except for true float32 on a GPU and for
    float32 training on AVX2 CPUs. Call `pick_precision` first: it sets tf32.

    On an H200 a pair's maps took 33 ms in channels_last and 17 ms with the reference path, which does not
    use it (and has other differences). On AVX2 a step with groups of 4 took 18.8 s with it, 9.8 s without.
    """
    if precision != torch.float32:
        slow = False
    elif device.type == "cuda":
        slow = getattr(CONVOLUTIONS, SWITCH) != ON
    else:
        slow = training and torch.backends.cpu.get_cpu_capability() == "AVX2"
    return torch.contiguous_format if slow else torch.channels_last


def flush_denormals() -> None:
    """Treat numbers below 1e-38 as zero in this process. Call it before PyTorch starts its threads.

    Saturated sigmoids produce such gradients, and many CPUs process them far more slowly: fine-tuning the
    weights `paper` in float32 took 38.8 s per step with them and 4.5 s without, on 2 cores of a
    processor with AVX-512. Others, such as an AMD EPYC with AVX512-BF16, lose nothing.
    """
    for kind in (np.float32, np.float64):
        np.finfo(kind)  # NumPy measures its smallest numbers once; after the switch it would warn
    torch.set_flush_denormal(True)


def keep_memory() -> None:
    """Let glibc keep freed memory for the next step instead of returning it to the system.

    Otherwise each step's large tensors are mapped and zeroed again. Does nothing on other platforms.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(-4, 0)  # M_MMAP_MAX: no block is mapped separately
        libc.mallopt(-1, -1)  # M_TRIM_THRESHOLD: the heap never shrinks


def settle_threads(device: torch.device) -> None:
    """Call this before computing on `device`: PyTorch then uses at most one thread per processor that this
    process may use. In a process forked from one that has called it, it uses one thread: a fork does not copy
    OpenMP's others, and computing would wait for them for ever.

    Raises ConfigError if `device` is a GPU that the earlier process has used: CUDA cannot be forked.
    """
    global _process
    _process = _process or os.getpid()
    if device.type == "cuda" and torch.cuda._is_in_bad_fork():
        raise ConfigError("a forked process cannot use the GPU of the first one; start it with spawn instead")
    most = processors() if _process == os.getpid() else 1
    if torch.get_num_threads() > most:
        torch.set_num_threads(most)


def autocast(device: torch.device, precision: torch.dtype) -> AbstractContextManager[None]:
    """Return a context of mixed precision if `precision` is bfloat16; otherwise it does nothing."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == torch.bfloat16)


def peak_memory(device: torch.device) -> float:
    """Return the peak memory so far in GiB: of PyTorch on a GPU, of the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    try:
        import resource
    except ImportError:  # Windows
        return math.nan
    unit = 1 if sys.platform == "darwin" else 2**10  # bytes on macOS, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def sharing(device: torch.device) -> int:
    """Return how many of torchrun's processes share the memory of `device`: all on this machine, unless
    each has its own GPU."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return 1 if device.type == "cuda" and torch.cuda.device_count() >= processes else processes


def free_memory(device: torch.device) -> int:
    """Return the bytes available now: of the GPU's memory, or of main memory (see `free_main_memory`; `GUESS`
    if the system does not report it)."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    free = free_main_memory()
    return GUESS if free is None else free


def join_ranks(device: str, local: int) -> None:
    """Join torchrun's process group until this process exits: with NCCL on GPU number `local`, or with gloo
    if `device` is the CPU."""
    gpu = device in ("auto", "cuda") and torch.cuda.is_available()
    if gpu:
        use_gpu(local)
    torch.distributed.init_process_group("nccl" if gpu else "gloo", timeout=PATIENCE)
    atexit.register(torch.distributed.destroy_process_group)
