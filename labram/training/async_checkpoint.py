"""Checkpoints written while training goes on: the tensors are copied at once, the disk is waited for in a thread."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import Self

from labram.errors import CheckpointError
from labram.training.checkpoints import Checkpoint, Checkpoints
from labram.training.distributed.fsdp import gathered
from labram.training.distributed.process_group import Ranks


class Writer:
    """Writes one checkpoint at a time; whoever brings the next one waits until the last is on the disk.

    Args:
        checkpoints: Where they go.
        tell: Is told, in the caller's thread, of each that could not be written.
    """

    def __init__(self, checkpoints: Checkpoints, tell: Callable[[CheckpointError], None]) -> None:
        self._checkpoints, self._tell = checkpoints, tell
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True)

    def save(self, checkpoint: Checkpoint) -> None:
        """Copy the checkpoint as it is now, and have the first rank begin to write it."""
        self.flush()
        copy = replace(checkpoint.each(gathered), history=list(checkpoint.history))
        if Ranks.here().first:
            self._writing = self._thread.submit(self._checkpoints.save, copy)

    def flush(self) -> None:
        """Wait until what was begun is written, or could not be."""
        writing, self._writing = self._writing, None
        if writing is None:
            return
        try:
            writing.result()
        except CheckpointError as error:
            self._tell(error)
