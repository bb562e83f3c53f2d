"""Accumulation of metrics between two logged steps, on the device, so that no step waits for the host."""

import torch
from torch import Tensor

from labram.training.checkpoints import Tensors
from labram.training.objectives.objective import Metrics

_SUM = "sum/"
_SKIPPED, _RUN_LENGTH, _LONGEST_RUN, _LONGEST_RUN_END = range(4)


class MetricAccumulator:
    """Sums of metrics since the last logged step, and counts of steps with a non-finite loss or gradient.

    Its state is part of the checkpoint, so that a resumed training logs the same values as an uninterrupted one.
    """

    def __init__(self, device: torch.device) -> None:
        self._sums: Metrics = {}
        self._steps = torch.zeros((), device=device)
        self._nonfinite = torch.zeros(4, dtype=torch.float64, device=device)

    def add(self, metrics: Metrics, finite: Tensor, step: int) -> None:
        """Add the metrics of one step.

        Args:
            metrics: Metrics of the step.
            finite: Whether the step was applied, a scalar bool on the device.
            step: Number of the step, counted from 1.
        """
        for name, value in metrics.items():
            counted = torch.where(finite, value, torch.zeros_like(value))
            self._sums[name] = self._sums[name] + counted if name in self._sums else counted
        self._steps = self._steps + finite
        skipped, run_length, longest, longest_end = self._nonfinite
        nonfinite = (~finite).double()
        run_length = (run_length + 1) * nonfinite
        longest_end = torch.where(run_length > longest, float(step), longest_end)
        self._nonfinite = torch.stack(
            [skipped + nonfinite, run_length, torch.maximum(longest, run_length), longest_end]
        )

    def pop_means(self) -> Metrics | None:
        """Return the means since the last call, on the CPU, or None if no step was finite."""
        steps = float(self._steps)
        sums, self._sums, self._steps = self._sums, {}, torch.zeros_like(self._steps)
        return {name: (value / steps).cpu() for name, value in sums.items()} if steps else None

    @property
    def skipped_steps(self) -> int:
        """Number of non-finite steps."""
        return int(self._nonfinite[_SKIPPED])

    def last_step_of_nonfinite_run(self, min_length: int) -> int | None:
        """Return the last step of the longest run of consecutive non-finite steps.

        Returns:
            The number of that step, or None if the run is shorter than `min_length`.
        """
        return int(self._nonfinite[_LONGEST_RUN_END]) if self._nonfinite[_LONGEST_RUN] >= min_length else None

    def state_dict(self) -> Tensors:
        """Return the state for a checkpoint."""
        sums = {f"{_SUM}{name}": value for name, value in self._sums.items()}
        return sums | {"steps": self._steps, "faults": self._nonfinite}

    def load_state_dict(self, tensors: Tensors) -> None:
        """Restore the state from a checkpoint."""
        device = self._steps.device
        self._sums = {
            name.removeprefix(_SUM): value.to(device) for name, value in tensors.items() if name.startswith(_SUM)
        }
        self._steps, counts = tensors["steps"].to(device), tensors["faults"]
        self._nonfinite[: len(counts)] = counts  # checkpoints of older versions lack the last count
