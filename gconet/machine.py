"""What this process may use of the machine: its processors and its main memory. Does not import torch."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def processors() -> int:
    """Return how many processors this process may use: those of its affinity, within a container's quota."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        count = os.process_cpu_count() or 1
    else:
        count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder in control_groups("cpu"):
        for files in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):  # v2, v1
            with contextlib.suppress(OSError, ValueError):  # "max" if there is no quota; in v1 it is -1
                quota, period = map(int, " ".join((folder / name).read_text() for name in files).split())
                count = min(count, -(-quota // period)) if quota > 0 else count
    return max(1, count)


def free_main_memory() -> int | None:
    """Return the bytes of main memory that this process may still take: what the system has left, within the
    limits of its control groups. None on systems without /proc, such as macOS."""
    free = None
    with contextlib.suppress(OSError, ValueError, KeyError):
        lines = dict(line.split(":") for line in (PROC / "meminfo").read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 2**10
    for folder in control_groups("memory"):
        for limit, used, cached in (
            ("max", "current", "inactive_file"),  # v2
            ("limit_in_bytes", "usage_in_bytes", "total_inactive_file"),  # v1
        ):
            with contextlib.suppress(OSError, ValueError, KeyError):  # "max" if there is no limit
                most, taken = (int((folder / f"memory.{name}").read_text()) for name in (limit, used))
                stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                left = max(0, most - taken + int(stat[cached]))  # the system can take back cached files
                free = left if free is None else min(free, left)
    return free


def control_groups(controller: str) -> Iterator[Path]:
    """Yield the folders of this process's control groups (v1 and v2) for `controller`, each with those above
    it, whose limits hold as well. A container may see its own group as the topmost one."""
    try:
        lines = (PROC / "self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers or controller in controllers.split(","):
            for root in (CGROUPS / controller, CGROUPS / "unified", CGROUPS):
                group = root / path.strip("/")
                yield from (group, *(g for g in group.parents if g.is_relative_to(root)))
