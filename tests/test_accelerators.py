"""Accelerators other than CUDA GPUs, by stand-ins on a CPU: none of them was at hand."""

from types import SimpleNamespace

import pytest
import torch

from gconet import device as device_module
from gconet.config import OptimizerConfig
from gconet.device import free_memory, peak_memory, pick_device, pick_memory_format, pick_precision
from gconet.engine.optimizer import make_optimizer, update
from gconet.errors import ConfigError
from gconet.models.affinity import best_matches
from tests.test_graphs import Network

CPU = torch.device("cpu")


@pytest.fixture
def accelerator(monkeypatch):
    """Pretend that this machine has accelerators of one kind, whose module in PyTorch has these functions."""

    def accelerator(kind, count=1, plain=torch.get_device_module, **module):
        ours = SimpleNamespace(**module)
        monkeypatch.setattr(torch.accelerator, "device_count", lambda: count)
        monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **how: torch.device(kind))
        monkeypatch.setattr(
            torch, "get_device_module", lambda d: ours if torch.device(d).type == kind else plain(d)
        )
        return torch.device(kind)

    return accelerator


@pytest.mark.parametrize(("kind", "count"), [("mps", 1), ("xpu", 2)])
def test_any_accelerator_is_found_and_computes_in_float32(accelerator, kind, count):
    gpu = accelerator(kind, count)
    assert pick_device("auto") == pick_device(kind) == gpu
    assert pick_device(f"{kind}:{count - 1}").index == count - 1 and pick_device("cpu") == CPU
    for name in (f"{kind}:{count}", "cuda", "tpu"):
        with pytest.raises(ConfigError, match=f"{name}.*auto, cpu, {kind}"):
            pick_device(name)
    for name, dtype in (("auto", torch.float32), ("fp16", torch.float16), ("bf16", torch.bfloat16)):
        assert pick_precision(name, gpu) == dtype
        assert pick_memory_format(gpu, dtype, training=True) == torch.contiguous_format
    with pytest.raises(ConfigError, match=f"tf32.*{kind}"):
        pick_precision("tf32", gpu)


def test_an_accelerators_own_memory_is_asked_for_or_the_main_memory(accelerator, monkeypatch):
    gpu = accelerator(
        "xpu", mem_get_info=lambda d: (5 * 2**30, 0), memory_reserved=lambda d: 3,
        memory_allocated=lambda d: 1, max_memory_allocated=lambda d: 2**31, get_device_name=lambda: "Arc",
    )  # fmt: skip
    assert free_memory(gpu) == 5 * 2**30 + 2 and peak_memory(gpu) == 2 and device_module.gpu_name() == "Arc"
    monkeypatch.setattr(device_module, "free_main_memory", lambda: 7)
    mac = accelerator("mps")
    assert free_memory(mac) == 7 and peak_memory(mac) > 0 and device_module.gpu_name() == "mps"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")  # of torchrun's ranks
    assert free_memory(mac) == free_memory(CPU) == 2


def test_ranks_take_an_accelerator_each_or_are_refused(accelerator, monkeypatch):
    chosen, joined = [], []
    monkeypatch.setattr(torch.accelerator, "set_device_index", chosen.append)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda name, **how: joined.append(name))
    monkeypatch.setattr(device_module.atexit, "register", lambda work: None)
    accelerator("xpu", 2)
    for name, local in (("auto", 1), ("xpu", 0), ("xpu:1", 0), ("cpu", 3)):
        device_module.join_ranks(name, local)
    assert chosen == [1, 0] and joined == ["xccl", "xccl", "gloo", "gloo"]
    with pytest.raises(ConfigError, match="rank 2 .*2"):
        device_module.join_ranks("auto", 2)


def test_a_device_that_this_machine_lacks_is_one_line(run, tmp_path):
    done = run("test.py", "--output", tmp_path / "maps", "--device", "mps", status=2)
    assert "mps" in done.stderr and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


def lack(*args, **how):
    raise NotImplementedError("The operator 'aten::x' is not implemented for the MPS device. If you")


def test_without_embedding_bag_affinities_and_gradients_are_the_same(monkeypatch):
    results = []
    for missing in (False, True):
        random = torch.Generator().manual_seed(0)
        query, key = (torch.randn(3, 8, 2, 2, generator=random).requires_grad_() for _ in "qk")
        if missing:
            monkeypatch.setattr("torch.nn.functional.embedding_bag", lack)
        matches = best_matches(query, key, 100)
        matches.square().sum().backward()
        results.append((matches, query.grad, key.grad))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


def test_a_command_names_the_operator_that_is_missing(monkeypatch, run, checkpoint, toy, tmp_path):
    monkeypatch.setattr("torch.nn.functional.adaptive_avg_pool2d", lack)
    given = ("--checkpoint", checkpoint, "--images", toy / "images/toy", "--output", tmp_path / "maps")
    done = run("test.py", *given, status=1)
    [line] = [line for line in done.stderr.splitlines() if "aten::x" in line]
    assert line.startswith("error: ") and "cpu" in line and "Traceback" not in done.stderr


@pytest.mark.parametrize("skip", [False, True])
def test_the_host_skips_the_updates_that_an_accelerators_fused_adam_would_not(monkeypatch, skip):
    optimizer = make_optimizer(OptimizerConfig(), Network())
    steps = []
    monkeypatch.setattr(optimizer, "step", lambda: steps.append(1))  # as on MPS: it does not look
    optimizer.found_inf.fill_(float(skip))
    update(optimizer)
    assert len(steps) == (not skip)
