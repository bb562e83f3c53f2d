"""The processes of one training (`torch.distributed`). A single process is rank 0 of 1.

Rank r computes every world-size-th micro-batch of a step, beginning with the r-th. Gradients, metrics and statistics
are summed in one all-reduce a step, so every rank takes the same optimiser step. Small Python values of the hosts, such
as a received signal, travel over gloo on the CPU and never synchronise a GPU.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, distributed

Value = TypeVar("Value")
BACKENDS = "cpu:gloo,cuda:nccl"


@dataclass(frozen=True)
class ProcessGroup:
    """This process's rank, and the collectives that training uses."""

    rank: int = 0
    world_size: int = 1

    @classmethod
    def current(cls) -> "ProcessGroup":
        """Return the group that `init_process_group` joined, or a group of one outside of it."""
        if distributed.is_available() and distributed.is_initialized():
            return cls(distributed.get_rank(), distributed.get_world_size())
        return cls()

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which validates, logs and writes files."""
        return self.rank == 0

    @property
    def local_slice(self) -> slice:
        """This rank's micro-batches, as a slice of the step's micro-batches."""
        return slice(self.rank, None, self.world_size)

    def global_index(self, index: int) -> int:
        """Return the index, within the whole step, of this rank's `index`-th micro-batch."""
        return self.rank + index * self.world_size

    def all_reduce(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all ranks, in one all-reduce."""
        if self.world_size == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        distributed.all_reduce(flat)
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite each tensor with that of rank 0."""
        if self.world_size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, src=0)

    def sum_on_host(self, number: int) -> int:
        """Return the sum of a number over all ranks. Waits for the other hosts, not for a GPU."""
        if self.world_size == 1:
            return number
        total = torch.tensor(number)
        distributed.all_reduce(total)
        return int(total)

    def compute_on_main(self, compute: Callable[[], Value]) -> Value:
        """Call `compute` on rank 0 only and return its result on all ranks."""
        if self.world_size == 1:
            return compute()
        result = [compute() if self.is_main else None]
        distributed.broadcast_object_list(result, src=0, device=torch.device("cpu"))
        return result[0]  # type: ignore[return-value]

    def all_gather(self, values: Sequence[Value]) -> list[Value]:
        """Return the values of all ranks, in rank order."""
        if self.world_size == 1:
            return list(values)
        gathered: list[Sequence[Value]] = [()] * self.world_size
        distributed.all_gather_object(gathered, values)
        return [value for part in gathered for value in part]

    def barrier(self) -> None:
        """Wait until all ranks have called this."""
        self.sum_on_host(0)


@contextmanager
def init_process_group() -> Iterator[ProcessGroup]:
    """Join the processes that `torchrun` started. With GPUs, each process uses the one of its local rank."""
    backend = BACKENDS if torch.cuda.is_available() else "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group(backend)
    yield ProcessGroup.current()
    distributed.destroy_process_group()
