"""What this process may use of the machine: its processors and its main memory. Does not import torch."""

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


@cache
def processors() -> int:
    """Return how many processors this process may use: those of its affinity, within a container's quota."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for files in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):  # v2, v1
        for words in read_control_groups("cpu", files):
            with suppress(ValueError):  # "max" if there is no quota; in v1 it is -1
                quota, period = map(int, words)
                count = min(count, -(-quota // period)) if quota > 0 else count
    return count


def free_main_memory() -> int | None:
    """Return the bytes of main memory that this process may still take: what the system has left, within the
    limits of its control groups. None on systems without /proc, such as macOS."""
    free = []
    with suppress(OSError, ValueError):
        words = (PROC / "meminfo").read_text().split()
        free.append(int(words[words.index("MemAvailable:") + 1]) * 2**10)
    for limit, used, cached in (
        ("memory.max", "memory.current", "inactive_file"),  # v2
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),  # v1
    ):
        for words in read_control_groups("memory", (limit, used, "memory.stat")):
            with suppress(ValueError):  # "max" if there is no limit
                kept = int(words[words.index(cached) + 1])  # the system can take back cached files
                free.append(max(0, int(words[0]) - int(words[1]) + kept))
    return min(free, default=None)


def read_control_groups(controller: str, files: tuple[str, ...]) -> Iterator[list[str]]:
    """Yield the words in the `files` of each of this process's control groups (v1 or v2) that has them, and
    of those above it, whose limits hold as well. A container may see its own group as the topmost one."""
    with suppress(OSError):
        for line in (PROC / "self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            own = not controllers or controller in controllers.split(",")
            for root in (CGROUPS / controller, CGROUPS / "unified", CGROUPS) if own else ():
                group = root / path.strip("/")
                for folder in (group, *(g for g in group.parents if g.is_relative_to(root))):
                    with suppress(OSError):
                        yield " ".join((folder / name).read_text() for name in files).split()
