"""What a training keeps count of between two logged steps, on the device, so that no step has to wait for the host."""

import torch
from torch import Tensor

from labram.training.checkpoints import Tensors
from labram.training.objectives import Metrics

_SUM = "sum/"
_SKIPPED, _IN_A_ROW, _LONGEST, _LONGEST_UNTIL = range(4)


class Running:
    """Sums of metrics since the last logged step, and how many steps were not finite.

    Part of the checkpoint, so that an interrupted training logs the same numbers as an uninterrupted one.
    """

    def __init__(self, device: torch.device) -> None:
        self._sums: Metrics = {}
        self._steps = torch.zeros((), device=device)
        self._faults = torch.zeros(4, dtype=torch.float64, device=device)

    def add(self, metrics: Metrics, finite: Tensor, step: int) -> None:
        """Count one step, whose number is `step`; `finite` (scalar, bool) says whether it was applied."""
        for name, value in metrics.items():
            counted = torch.where(finite, value, torch.zeros_like(value))
            self._sums[name] = self._sums[name] + counted if name in self._sums else counted
        self._steps = self._steps + finite
        skipped, in_a_row, longest, until = self._faults
        fault = (~finite).double()
        in_a_row = (in_a_row + 1) * fault
        until = torch.where(in_a_row > longest, float(step), until)
        self._faults = torch.stack([skipped + fault, in_a_row, torch.maximum(longest, in_a_row), until])

    def take(self) -> Metrics | None:
        """Means since the last call, on the CPU; None if no step was finite."""
        steps = float(self._steps)
        sums, self._sums, self._steps = self._sums, {}, torch.zeros_like(self._steps)
        return {name: (value / steps).cpu() for name, value in sums.items()} if steps else None

    @property
    def skipped(self) -> int:
        """Steps that were not finite."""
        return int(self._faults[_SKIPPED])

    def faults_until(self, number: int) -> int | None:
        """The last of the most such steps in a row, if these were `number` or more."""
        return int(self._faults[_LONGEST_UNTIL]) if self._faults[_LONGEST] >= number else None

    def tensors(self) -> Tensors:
        """For the checkpoint."""
        return {f"{_SUM}{name}": value for name, value in self._sums.items()} | {
            "steps": self._steps,
            "faults": self._faults,
        }

    def restore(self, tensors: Tensors) -> None:
        """From the checkpoint."""
        device = self._steps.device
        self._sums = {
            name.removeprefix(_SUM): value.to(device) for name, value in tensors.items() if name.startswith(_SUM)
        }
        self._steps, faults = tensors["steps"].to(device), tensors["faults"]
        self._faults[: len(faults)] = faults  # checkpoints of before the last of them was counted have three
