"""CUDA graphs of a training step: hundreds of kernels in one launch."""

from collections.abc import Callable, Hashable
from typing import Any

import torch

from gconet.data.dataset import Batch
from gconet.engine.optimizer import rates


class GraphedStep:
    """A step function that is recorded as a CUDA graph for each batch size and then replayed.

    The first batch of a size runs as usual, the warm-up that recording needs. The second is recorded and
    replayed. All graphs share one memory pool: a result is valid until the next call.
    """

    def __init__(self, step: Callable[[Batch], Any], optimizer: torch.optim.Adam) -> None:
        """A recording freezes the rates of `optimizer`; if they change, the step is recorded again."""
        self._step, self._optimizer = step, optimizer
        # a graph, the batch that it reads (filled before each replay), its result; None: only warmed up
        self._graphs: dict[Hashable, tuple[torch.cuda.CUDAGraph, Batch, Any] | None] = {}
        self._stream = torch.cuda.Stream()
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, batch: Batch) -> Any:
        """Run the step on a batch on the GPU. In the host's memory it could change before the graph runs."""
        key = (*(tuple(t.shape) for t in batch), *rates(self._optimizer).values())
        if key not in self._graphs:
            self._graphs[key] = None
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                result = self._step(batch)
            torch.cuda.current_stream().wait_stream(self._stream)
            return result
        self._graphs[key] = graph, static, result = self._graphs[key] or self._record(batch)
        for ours, given in zip(static, batch, strict=True):
            ours.copy_(given, non_blocking=True)
        graph.replay()
        return result

    def _record(self, batch: Batch) -> tuple[torch.cuda.CUDAGraph, Batch, Any]:
        static = Batch(*(t.clone() for t in batch))
        graph = torch.cuda.CUDAGraph()
        # loader threads may use CUDA meanwhile, hence thread_local
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            return graph, static, self._step(static)
