"""The processes of one training: what they share out, add up and agree on. One process is rank 0 of 1.

Rank r takes every world-th micro-batch of a step, beginning with the r-th. Gradients, metrics and statistics are added
up in one reduction a step, so every rank then takes the same optimiser step with the same numbers. Small facts of the
hosts, such as a signal that one of them got, go over the CPU and make no GPU wait.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, distributed

Fact = TypeVar("Fact")
BACKENDS = "cpu:gloo,cuda:nccl"


@dataclass(frozen=True)
class Ranks:
    """This process among those of its training."""

    rank: int = 0
    world: int = 1

    @classmethod
    def here(cls) -> "Ranks":
        """As `joined` found it; alone outside of it."""
        if distributed.is_available() and distributed.is_initialized():
            return cls(distributed.get_rank(), distributed.get_world_size())
        return cls()

    @property
    def first(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.rank == 0

    @property
    def share(self) -> slice:
        """What of a step's micro-batches is this process's."""
        return slice(self.rank, None, self.world)

    def number(self, index: int) -> int:
        """Which of the whole step's micro-batches is the `index`-th of this process."""
        return self.rank + index * self.world

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all ranks, with one reduction for all of them."""
        if self.world == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        distributed.all_reduce(flat)
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def copy_first(self, tensors: Sequence[Tensor]) -> None:
        """Give every rank the tensors of the first."""
        if self.world > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, src=0)

    def total(self, number: int) -> int:
        """Sum of a host's number over all ranks; waits for the other hosts, but not for a GPU."""
        if self.world == 1:
            return number
        sum_ = torch.tensor(number)
        distributed.all_reduce(sum_)
        return int(sum_)

    def first_says(self, find_out: Callable[[], Fact]) -> Fact:
        """What the first rank finds out; the others do not try, and wait for it."""
        if self.world == 1:
            return find_out()
        said = [find_out() if self.first else None]
        distributed.broadcast_object_list(said, src=0, device=torch.device("cpu"))
        return said[0]  # type: ignore[return-value]

    def all_say(self, facts: Sequence[Fact]) -> list[Fact]:
        """The facts of all ranks."""
        if self.world == 1:
            return list(facts)
        said: list[Sequence[Fact]] = [()] * self.world
        distributed.all_gather_object(said, facts)
        return [fact for part in said for fact in part]

    def wait(self) -> None:
        """Wait until all ranks have come here."""
        self.total(0)


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the other processes that `torchrun` has started; each takes the GPU of its number where there are GPUs."""
    backend = BACKENDS if torch.cuda.is_available() else "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group(backend)
    yield Ranks.here()
    distributed.destroy_process_group()
