"""Asynchronous checkpoint writing: tensors are copied at once, and a thread writes files while training continues."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import Self

from labram.errors import CheckpointError
from labram.training.checkpoints import Checkpoint, Checkpoints
from labram.training.distributed.fsdp import gather_on_main
from labram.training.distributed.process_group import ProcessGroup


class AsyncCheckpointWriter:
    """Writes one checkpoint at a time; saving the next one waits until the last is on disk.

    Args:
        checkpoints: Checkpoint folder.
        on_error: Called, in the caller's thread, with the error of each checkpoint that could not be written.
    """

    def __init__(self, checkpoints: Checkpoints, on_error: Callable[[CheckpointError], None]) -> None:
        self._checkpoints, self._on_error = checkpoints, on_error
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(wait=True)

    def save(self, checkpoint: Checkpoint) -> None:
        """Copy the checkpoint's tensors now, and start writing the copy on rank 0. A collective if it is sharded."""
        self.flush()
        copy = replace(checkpoint.map_tensors(gather_on_main), history=list(checkpoint.history))
        if ProcessGroup.current().is_main:
            self._pending = self._executor.submit(self._checkpoints.save, copy)

    def flush(self) -> None:
        """Wait until the pending checkpoint is written or has failed."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        try:
            pending.result()
        except CheckpointError as error:
            self._on_error(error)
