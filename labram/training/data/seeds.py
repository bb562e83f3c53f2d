"""Random numbers by counter: each draw is a function of what it is for, not of what was drawn before it.

So nothing has to be remembered in order to resume, and the number of workers changes nothing.
"""

import numpy as np

WINDOWS, VALIDATION, SHUFFLE = 1, 2, 3
"""Streams: what a draw is for."""


def generator(seed: int, stream: int, *counters: int) -> np.random.Generator:
    """NumPy generator of one purpose.

    Args:
        seed: The run's seed.
        stream: One of the streams above.
        *counters: At most three numbers that tell draws of a stream apart, such as step and micro-batch.
    """
    high = [*counters, 0, 0, 0][:3]
    return np.random.Generator(np.random.Philox(key=[seed, stream], counter=[0, *high]))


def torch_seed(seed: int, *counters: int) -> int:
    """Seed for PyTorch's generators, such as for one micro-batch of one step; 63 bits."""
    return int(np.random.SeedSequence([seed, *counters]).generate_state(1, np.uint64)[0] >> 1)
