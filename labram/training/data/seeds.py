"""Counter-based random numbers: each draw is a function of seed, purpose and counters, not of earlier draws.

Resuming therefore needs no random state, and the number of processes does not change the draws.
"""

import numpy as np

WINDOWS, VALIDATION, SHUFFLE = 1, 2, 3
"""Streams, one per purpose."""


def generator(seed: int, stream: int, *counters: int) -> np.random.Generator:
    """Return a NumPy generator (Philox).

    Args:
        seed: Random seed.
        stream: One of the streams above.
        *counters: At most three counters, such as step and micro-batch.
    """
    high = [*counters, 0, 0, 0][:3]
    return np.random.Generator(np.random.Philox(key=[seed, stream], counter=[0, *high]))


def torch_seed(seed: int, *counters: int) -> int:
    """Return a 63-bit seed for PyTorch's generators, such as for one micro-batch of one step."""
    return int(np.random.SeedSequence([seed, *counters]).generate_state(1, np.uint64)[0] >> 1)
