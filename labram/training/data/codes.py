"""Codes worked out once: of the consecutive windows of each recording, kept beside its patches.

What code a patch gets depends on its whole window, because the tokenizer's norms and attention span it; so codes belong
to a window, not to a patch, and are of use only where training sees the same windows again. These are the windows that
follow one another from the first usable second of a recording, as long as the recipe allows; what is left at the end is
not used. Codes are worked out in float32 on whatever device, and named by the tokenizer's digest and by the windows.

Shape letters: B windows, N channels, A seconds.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from labram.events import Monitor
from labram.input_spec import SAMPLE_RATE_HZ, to_model_unit
from labram.models.tokenizer import Tokenizer
from labram.store.store import Store
from labram.training.data.windows import Pool, WindowSampler
from labram.training.distributed.process_group import ProcessGroup


def with_stored_codes(sampler: WindowSampler, tokenizer: Tokenizer, digest: str, monitor: Monitor) -> WindowSampler:
    """Work out the codes that the store does not have yet; gives a sampler whose windows bring theirs.

    Several processes share the recordings out and wait for each other.

    Args:
        sampler: Its pools say which recordings and how long the windows are.
        tokenizer: On its device.
        digest: Of its weights.
        monitor: Is told of each recording.

    Raises:
        StoreError: If the store cannot be written, or an entry is damaged.
    """
    name, store, group = f"codes-{digest[:16]}", sampler.store, ProcessGroup.current()
    todo = [(pool, index) for pool in sampler.pools for index in range(len(pool.keys))][group.local_slice]
    made = 0
    for done, (pool, index) in enumerate(todo, start=1):
        key, count = pool.keys[index], int(pool.consecutive[index])
        kept = store.get_array(key, pool.codes_name(name))
        if kept is None or len(kept) < count:
            store.put_array(
                key, pool.codes_name(name), np.concatenate(list(_codes(store, pool, key, count, tokenizer)))
            )
            made += 1
        monitor.progress(done, len(todo))
    group.barrier()
    if made:
        monitor.note(f"codes of {made} recordings were worked out and stored; {len(todo) - made} were there")
    return replace(sampler, codes=name)


@torch.no_grad()
def _codes(store: Store, pool: Pool, key: str, count: int, tokenizer: Tokenizer) -> Iterator[NDArray[np.uint16]]:
    """Codes [B, N·A] of a recording's windows, as many at a time as a micro-batch has."""
    device = next(tokenizer.parameters()).device
    rows_N = torch.tensor(pool.rows, device=device)
    for start in range(0, count, pool.windows):
        starts = range(start * pool.seconds, min(start + pool.windows, count) * pool.seconds, pool.seconds)
        x_BNAT = to_model_unit(np.stack([store.read(key, second * SAMPLE_RATE_HZ, pool.seconds) for second in starts]))
        codes_BL = tokenizer.encode(torch.from_numpy(x_BNAT).to(device), rows_N)
        yield codes_BL.cpu().numpy().astype(np.uint16)
