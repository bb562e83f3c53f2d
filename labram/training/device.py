"""Where training runs, in which precision, and whether compiled."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

from labram.errors import TrainingError
from labram.models.compilation import compile_blocks

Model = TypeVar("Model", bound=nn.Module)
COMPILE = "LABRAM_COMPILE"
"""Environment variable: 1 compiles transformer blocks. It is no part of the recipe, as it changes roundings alone."""


def choose() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def place(model: Model) -> Model:
    """The model on that device, its transformer blocks compiled where ``LABRAM_COMPILE`` is 1.

    Raises:
        TrainingError: If that is asked for where PyTorch finds no compiler, or with another word.
    """
    model.to(device := choose())
    if (asked := os.environ.get(COMPILE) or "0") == "0":
        return model
    if asked != "1":
        raise TrainingError(f"is {asked!r}, not 0 or 1", field=COMPILE, remedy="Set it to 1 to compile, or unset it")
    compilers = (os.environ.get("CC"), "gcc", "clang") if device.type == "cuda" else (os.environ.get("CXX"), "g++")
    if not any(shutil.which(compiler) for compiler in compilers if compiler):
        raise TrainingError(
            "models cannot be compiled: there is no C compiler on this machine",
            field=COMPILE,
            remedy="Install g++ (images: build them on a base that has it), or unset the variable",
        )
    return compile_blocks(model, dynamic=True)


def mixed_precision(device: torch.device) -> torch.autocast:
    """Bfloat16 autocast on a GPU; on the CPU everything stays float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")


@contextmanager
def reproducible(device: torch.device, threads: int) -> Iterator[None]:
    """Fixed thread count, the caller's random state untouched and, on the CPU, deterministic algorithms.

    On the CPU the same settings then give the same bits. Leaves PyTorch's settings as they were.
    """
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    filling = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # Adam's moments of vanishing gradients are denormal, and tenfold slower
    torch.use_deterministic_algorithms(device.type == "cpu")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_flush_denormal(False)
        torch.use_deterministic_algorithms(before[1])
        torch.utils.deterministic.fill_uninitialized_memory = filling  # type: ignore[attr-defined]
