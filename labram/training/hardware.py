"""Hardware of a training, `hardware.json` beside the model: why another machine may round differently."""

import json
from pathlib import Path

import torch

from labram.training.device import select_device
from labram.training.output_files import HARDWARE_FILE

CPU_INFO = Path("/proc/cpuinfo")


def write(folder: Path, *, processes: int) -> None:
    """Write `HARDWARE_FILE` to the folder of a model.

    Args:
        folder: The folder.
        processes: Number of training processes.
    """
    described = describe() | {"processes": processes}
    (folder / HARDWARE_FILE).write_text(json.dumps(described, sort_keys=True) + "\n", encoding="utf-8")


def describe() -> dict[str, object]:
    """Return kind and name of the device that trainings here use, and the processor's vector instructions."""
    device = select_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {"device": device.type, "name": name, "instructions": torch.backends.cpu.get_cpu_capability()}


def _processor() -> str:
    """Return the processor's model name; "" if the system does not state it."""
    try:
        lines = CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
