"""Device, precision and compilation of training."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

from labram.errors import PlatformError, TrainingError
from labram.models.compilation import compile_blocks

Model = TypeVar("Model", bound=nn.Module)
DEVICE = "LABRAM_DEVICE"
"""Environment variable: the device of training, evaluation, embedding and serving, see `select_device`."""
COMPILE = "LABRAM_COMPILE"
"""Environment variable: 1 compiles transformer blocks. It is not part of the recipe, as it only changes rounding."""


def select_device(device: str | None = None) -> torch.device:
    """Return the device to use.

    Args:
        device: ``auto`` (the GPU if there is one, else the CPU), ``cpu``, ``cuda`` or ``cuda:N``; None: the environment
            variable ``LABRAM_DEVICE``, by default ``auto``.

    Raises:
        PlatformError: If it is none of these, or a GPU that is not there.
    """
    name = device or os.environ.get(DEVICE) or "auto"
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if gpus else "cpu")
    if (match := re.fullmatch(r"cpu|cuda(?::(\d+))?", name)) is None:
        raise PlatformError(
            f"expected auto, cpu, cuda or cuda:N, got {name!r}", field="device", remedy="Pass one of these"
        )
    if name != "cpu" and int(match[1] or 0) >= gpus:
        raise PlatformError(
            f"{name} is not available: PyTorch finds {gpus} GPUs",
            field="device",
            remedy="Pass auto or cpu, or install a driver and a PyTorch build for the GPU",
        )
    return torch.device(name)


def prepare_model(model: Model) -> Model:
    """Move a model to the selected device, and compile its transformer blocks if ``LABRAM_COMPILE`` is 1.

    Raises:
        TrainingError: If ``LABRAM_COMPILE`` is neither 0 nor 1, or if there is no compiler.
    """
    model.to(device := select_device())
    if (value := os.environ.get(COMPILE) or "0") == "0":
        return model
    if value != "1":
        raise TrainingError(f"expected 0 or 1, got {value!r}", field=COMPILE, remedy="Unset it, or set it to 1")
    compilers = (os.environ.get("CC"), "gcc", "clang") if device.type == "cuda" else (os.environ.get("CXX"), "g++")
    if not any(shutil.which(compiler) for compiler in compilers if compiler):
        raise TrainingError(
            "models cannot be compiled: no C compiler was found",
            field=COMPILE,
            remedy="Install g++ (in images: use a base image that has it), or unset the variable",
        )
    return compile_blocks(model, dynamic=True)


def autocast(device: torch.device) -> torch.autocast:
    """Return bfloat16 autocast for a GPU; on the CPU it is disabled and everything stays float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")


@contextmanager
def reproducible(device: torch.device, threads: int) -> Iterator[None]:
    """Fix the number of threads and, on the CPU, use deterministic algorithms: equal settings then give equal bits.

    PyTorch's settings and the caller's random state are restored afterwards.

    Args:
        device: Device of the model.
        threads: Number of CPU threads.
    """
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    filling = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # Adam's moments of vanishing gradients are denormal, and ten times slower
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
