"""`GraphedStep` on a CPU: CUDA graphs replaced by fakes that write down what they are asked for."""

import copy
from contextlib import contextmanager, nullcontext

import pytest
import torch
from torch import nn

from gconet.config import OptimizerConfig
from gconet.data.dataset import Batch
from gconet.engine.graphs import GraphedStep
from gconet.engine.optimizer import load_optimizer, make_optimizer, set_rates, skip_if_not_finite
from tests.conftest import same


class FakeCuda:
    """What GraphedStep uses of torch.cuda. As on a GPU, recording does nothing; replaying does the step."""

    def __init__(self):
        self.recording = None  # the graph under way
        self.events = []

    def install(self, monkeypatch):
        fakes = {
            "CUDAGraph": FakeGraph, "Stream": FakeStream, "current_stream": FakeStream, "graph": self.graph,
            "stream": lambda stream: nullcontext(), "graph_pool_handle": lambda: "pool",
        }  # fmt: skip
        for name, fake in fakes.items():
            monkeypatch.setattr(torch.cuda, name, fake)

    @contextmanager
    def graph(self, graph, *, pool, stream, capture_error_mode):
        assert pool == "pool" and isinstance(stream, FakeStream) and capture_error_mode == "thread_local"
        self.recording = graph
        yield
        self.recording = None

    def watch(self, step):
        """`step`, told apart by when it is called."""

        def watched(batch):
            size = len(batch.images)
            if self.recording is None:
                self.events.append(f"run {size}")
                return step(batch)
            self.events.append(f"record {size}")
            result = torch.full((2,), -1.0)  # as long as nothing was replayed

            def body():
                self.events.append(f"replay {size}")
                result.copy_(step(batch))

            self.recording.replay = body
            return result

        return watched


class FakeGraph:
    """A recording; `watch` gives it its `replay`."""


class FakeStream:
    def wait_stream(self, other):
        assert isinstance(other, FakeStream)


def make_batch(size, seed):
    random = torch.Generator().manual_seed(seed)
    return Batch(
        images=torch.randint(0, 256, (size, 3, 4, 4), dtype=torch.uint8, generator=random),
        masks=torch.randint(0, 256, (size, 1, 4, 4), dtype=torch.uint8, generator=random),
        labels=torch.randint(0, 5, (size,), generator=random), angles=torch.rand(size, generator=random),
        flips=torch.rand(size, generator=random) < 0.5, others=torch.empty(0, 3, 4, 4, dtype=torch.uint8),
        other_masks=torch.empty(0, 1, 4, 4, dtype=torch.uint8), kinds=torch.empty(0, dtype=torch.int64),
        numbers=torch.empty(0, 0),
    )  # fmt: skip


class Network(nn.Module):
    """As much of a TrainingGCoNet as `make_optimizer` looks at."""

    def __init__(self):
        super().__init__()
        self.net = nn.Module()
        self.net.encoder = nn.Linear(6, 4)
        self.net.register_buffer("mean", torch.zeros(1))
        self.layer = nn.Linear(4, 1)

    def forward(self, x):
        return self.layer(self.net.encoder(x))


def make_step():
    """A step that uses the whole batch, its optimizer and its weights."""
    torch.manual_seed(0)
    model = Network()
    optimizer = make_optimizer(OptimizerConfig(lr=0.1, encoder_lr_scale=0.5), model)

    def step(batch):
        features = torch.cat([batch.images, batch.masks], 1).float().div(255).mean((2, 3))
        features = torch.cat([features, batch.angles[:, None], batch.flips[:, None]], 1)
        loss = (model(features)[:, 0] - batch.labels).square().mean()
        optimizer.zero_grad()
        loss.backward()
        skip_if_not_finite(optimizer, loss)
        optimizer.step()
        return torch.stack([loss, model.layer.bias.grad.sum()]).detach()

    return model, optimizer, step


def weights(model: nn.Module):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.fixture
def cuda(monkeypatch):
    fake = FakeCuda()
    fake.install(monkeypatch)
    return fake


def test_the_first_batch_of_a_size_runs_the_second_is_recorded_and_each_is_one_step(cuda):
    sizes = (4, 6, 4, 4, 6, 6, 4, 2)
    model, optimizer, step = make_step()
    expected, after = [], []
    for i, size in enumerate(sizes):
        expected.append(step(make_batch(size, i)))
        after.append(weights(model))

    model, optimizer, step = make_step()
    take = GraphedStep(cuda.watch(step), optimizer)
    for i, size in enumerate(sizes):
        result = take(make_batch(size, i))
        assert torch.equal(result, expected[i]) and same(weights(model), after[i])
    events = {kind: [e[-1] for e in cuda.events if e.startswith(kind)] for kind in ("run", "rec", "rep")}
    assert events == {"run": ["4", "6", "2"], "rec": ["4", "6"], "rep": ["4", "4", "6", "6", "4"]}


def test_a_changed_learning_rate_is_recorded_anew(cuda):
    def train(take, optimizer):
        for i in range(6):
            if i == 3:
                set_rates(optimizer, OptimizerConfig(), dropped=True)
            take(make_batch(4, i))

    expected, optimizer, step = make_step()
    train(step, optimizer)
    model, optimizer, step = make_step()
    train(GraphedStep(cuda.watch(step), optimizer), optimizer)
    assert cuda.events == 2 * ["run 4", "record 4", "replay 4", "replay 4"]
    assert same(weights(model), weights(expected))


def test_the_batch_is_copied_so_that_its_memory_may_be_used_again(cuda):
    _, optimizer, step = make_step()
    seen = []
    take = GraphedStep(cuda.watch(lambda batch: seen.append(batch) or step(batch)), optimizer)
    given = [make_batch(4, i) for i in range(4)]
    for batch in given:
        take(batch)
    for batch in given:
        batch.images.zero_()
    assert seen[1] is seen[2] is seen[3]  # the same places, filled before each replay
    for ours, last in zip(seen[3], make_batch(4, 3), strict=True):
        assert torch.equal(ours, last)


def test_moments_saved_in_another_memory_layout_take_that_of_their_parameters():
    states = []
    for layout in (torch.contiguous_format, torch.channels_last):
        model = Network()
        torch.manual_seed(0)
        model.layer = nn.Conv2d(3, 2, 3)
        model.to(memory_format=layout)
        optimizer = make_optimizer(OptimizerConfig(lr=0.1), model)
        if states:
            load_optimizer(optimizer, states[0])
            moments = optimizer.state[model.layer.weight]
            assert moments["exp_avg"].stride() == model.layer.weight.stride() == (27, 1, 9, 3)
            assert torch.equal(moments["exp_avg"], states[0]["state"][0]["exp_avg"])
        model.layer(torch.ones(1, 3, 4, 4)).sum().backward()
        optimizer.step()
        states.append(copy.deepcopy(optimizer.state_dict()))
    assert states[1]["state"][0]["step"] == 2
