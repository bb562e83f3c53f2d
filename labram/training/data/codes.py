"""Stored codes: computed once for the consecutive windows of each recording, and stored beside its patches.

A patch's code depends on its whole window, because the tokenizer's normalisation and attention span it. Codes therefore
belong to a window, and can be reused only if training sees the same windows again: consecutive windows of the recipe's
length from the first second of a segment, without the remainder at its end. Codes are computed in float32 on
any device, and named by the tokenizer's digest and the window length.

Shape letters: B windows, N channels, A seconds.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from labram.events import Monitor
from labram.models.tokenizer import Tokenizer
from labram.store.store import Store
from labram.training.data.windows import Pool, WindowSampler
from labram.training.distributed.process_group import ProcessGroup


def with_stored_codes(sampler: WindowSampler, tokenizer: Tokenizer, digest: str, monitor: Monitor) -> WindowSampler:
    """Compute the codes that the store lacks, and return a sampler that loads them with the windows.

    Several processes divide the recordings among them and wait for each other.

    Args:
        sampler: Sampler whose pools define recordings and windows.
        tokenizer: Tokenizer, on its device.
        digest: Digest of the tokenizer's weights.
        monitor: Receives progress.

    Raises:
        StoreError: If the store cannot be written, or if a patch file is damaged.
    """
    name, store, group = f"codes-{digest[:16]}", sampler.store, ProcessGroup.current()
    todo = [(pool, index) for pool in sampler.pools for index in range(len(pool.keys))][group.local_slice]
    computed = 0
    for done, (pool, index) in enumerate(todo, start=1):
        key, count = pool.keys[index], int(pool.consecutive[index])
        stored = store.get_array(key, pool.codes_name(name, index))
        if stored is None or len(stored) < count:
            codes = np.concatenate(list(_codes(store, pool, index, count, tokenizer)))
            store.put_array(key, pool.codes_name(name, index), codes)
            computed += 1
        monitor.progress(done, len(todo))
    group.barrier()
    if computed:
        monitor.note(f"computed and stored codes of {computed} recordings; {len(todo) - computed} were already stored")
    return replace(sampler, codes=name)


@torch.no_grad()
def _codes(store: Store, pool: Pool, index: int, count: int, tokenizer: Tokenizer) -> Iterator[NDArray[np.uint16]]:
    """Yield the codes [B, N·A] of a segment's windows, one micro-batch at a time."""
    device = next(tokenizer.parameters()).device
    rows_N = torch.tensor(pool.rows, device=device)
    for start in range(0, count, pool.windows):
        x_BNAT = pool.consecutive_windows(store, index, range(start, min(start + pool.windows, count)))
        codes_BL = tokenizer.encode(torch.from_numpy(x_BNAT).to(device), rows_N)
        yield codes_BL.cpu().numpy().astype(np.uint16)
