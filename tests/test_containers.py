"""Processors and memory in containers and under batch systems."""

import pytest

from gconet import machine

V2, V1 = "0::/job/step\n", "4:memory:/job/step\n2:cpuacct,cpu:/job/step\n"


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Pretend that /proc and /sys/fs/cgroup hold these files, on a machine of 64 processors and 64 GiB."""

    def system(cgroup, files):
        contents = {"proc/self/cgroup": cgroup, "proc/meminfo": f"MemAvailable: {64 * 2**20} kB"}
        for name, text in {**contents, **{f"cg/{name}": text for name, text in files.items()}}.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        monkeypatch.setattr(machine, "PROC", tmp_path / "proc")
        monkeypatch.setattr(machine, "CGROUPS", tmp_path / "cg")
        monkeypatch.setattr(machine.os, "sched_getaffinity", lambda pid: range(64), raising=False)
        machine.processors.cache_clear()
        return machine.processors(), machine.free_main_memory() / 2**30

    yield system
    machine.processors.cache_clear()


def memory(folder, limit, used, cached, v1=False):
    names = ("max", "current", "inactive_file")
    names = ("limit_in_bytes", "usage_in_bytes", "total_inactive_file") if v1 else names
    return {f"{folder}/memory.{names[0]}": str(limit), f"{folder}/memory.{names[1]}": str(used << 20),
            f"{folder}/memory.stat": f"anon 5\n{names[2]} {cached << 20}\n"}  # fmt: skip


@pytest.mark.parametrize(
    ("cgroup", "files", "expected"),
    [
        ("", {}, (64, 64)),
        (V2, {"cpu.max": "200000 100000", **memory(".", 2**30, 512, 0)}, (2, 0.5)),  # a container's own root
        (V2, {"job/cpu.max": "250000 100000", **memory("job", 2**30, 512, 256)}, (3, 0.75)),  # Slurm, systemd
        (V2, {"job/step/cpu.max": "max 100000", **memory("job/step", "max", 512, 0)}, (64, 64)),
        (V2, {**memory("job", 2**31, 0, 0), **memory("job/step", 2**30, 2048, 0)}, (64, 0)),
        (V2, {"unified/job/step/cpu.max": "50000 100000"}, (1, 64)),  # v1 and v2 side by side
        (V1, {"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, (4, 64)),
        (V1, {"cpu/job/cpu.cfs_quota_us": "-1", "cpu/job/cpu.cfs_period_us": "100000"}, (64, 64)),
        (V1, memory("memory/job/step", 2**30, 512, 0, v1=True), (64, 0.5)),
        (V1, memory("memory", 2**30, 512, 0, v1=True), (64, 0.5)),  # a container that sees the host's path
        (V1, memory("memory/job", 2**63 - 4096, 512, 0, v1=True), (64, 64)),
    ],
)
def test_processors_and_free_memory_are_those_of_the_container(system, cgroup, files, expected):
    assert system(cgroup, files) == expected
