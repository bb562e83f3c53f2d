"""Loading of tensors into a model, all or none, with a report on each tensor."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from labram.errors import CodebookSizeError, MisfitWeightsError, NonFiniteWeightsError
from labram.models.official_layout import LabramModel

_CODES = frozenset({"lm_head.weight", "lm_head.bias", "quantizer.codebook", "quantizer.usage"})
"""Tensors with one row per code."""


@contextmanager
def standard_defaults() -> Iterator[None]:
    """Create tensors as float32 on the CPU, whatever `torch.set_default_dtype` and `set_default_device` have set."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(dtype)


@dataclass(frozen=True)
class LoadReport:
    """Result of loading weights into a model, tensor by tensor.

    Attributes:
        matched: Tensors that were loaded.
        missing: Tensors in the model only.
        unexpected: Tensors in the file only.
        mismatched: Tensors in both, with different shapes.
        mistyped: Tensors in both that are complex in the file, or integers for a floating-point tensor.
        excused: Tensors that are not loaded on purpose, and the reason.
        assumed: Dimensions that the file does not contain: the assumed value, and the reason.
    """

    matched: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[str, ...] = ()
    mistyped: tuple[str, ...] = ()
    excused: Mapping[str, str] = field(default_factory=dict)
    assumed: Mapping[str, str] = field(default_factory=dict)

    @property
    def unmatched(self) -> dict[str, tuple[str, ...]]:
        """Tensors that are neither loaded nor excused, by problem."""
        problems = {
            "missing": self.missing,
            "unexpected": self.unexpected,
            "of another shape": self.mismatched,
            "of another type": self.mistyped,
        }
        return {problem: names for problem, names in problems.items() if names}

    @property
    def clean(self) -> bool:
        """Whether every tensor is loaded or excused."""
        return not self.unmatched

    def to_json(self) -> dict[str, Any]:
        """Return counts and names as plain JSON values."""
        return {
            "clean": self.clean,
            "matched": len(self.matched),
            "missing": list(self.missing),
            "unexpected": list(self.unexpected),
            "mismatched": list(self.mismatched),
            "mistyped": list(self.mistyped),
            "excused": dict(self.excused),
            "assumed": dict(self.assumed),
        }


def compare(model: LabramModel, tensors: Mapping[str, Tensor], excused: Mapping[str, str] | None = None) -> LoadReport:
    """Compare tensors with a model without loading them; `excused` maps names to reasons."""
    reasons = dict(excused or {})
    target = model.state_dict()
    common = target.keys() & tensors.keys()
    mistyped = {name for name in common if not _convertible(tensors[name], target[name])}
    differing = {name for name in common - mistyped if target[name].shape != tensors[name].shape}
    return LoadReport(
        matched=tuple(sorted(common - differing - mistyped)),
        missing=tuple(sorted(target.keys() - tensors.keys() - reasons.keys())),
        unexpected=tuple(sorted(tensors.keys() - target.keys() - reasons.keys())),
        mismatched=tuple(sorted(differing)),
        mistyped=tuple(sorted(mistyped)),
        excused=reasons,
    )


def fill(
    model: LabramModel, tensors: Mapping[str, Tensor], *, source: Path, excused: Mapping[str, str] | None = None
) -> LoadReport:
    """Load tensors into a model. If this raises, the model is unchanged.

    Raises:
        MisfitWeightsError: If the report is not clean.
        CodebookSizeError: If only the number of codes differs.
        NonFiniteWeightsError: If a value is NaN, infinite or beyond the range of the model's dtype.
    """
    report = compare(model, tensors, excused)
    _check_codes(model, tensors, report, source)
    if not report.clean:
        raise MisfitWeightsError(
            _complaint(report.unmatched),
            file=source,
            remedy="Load it as a model of the kind and size that it holds",
            unmatched=report.unmatched,
        )
    target = model.state_dict()
    broken = [name for name in report.matched if not bool(torch.isfinite(tensors[name].to(target[name].dtype)).all())]
    if broken:
        raise NonFiniteWeightsError(
            f"{len(broken)} tensors have NaN, infinite or too large values, such as {broken[0]}",
            file=source,
            remedy="The training that wrote it diverged: use an earlier checkpoint",
        )
    model.load_state_dict({name: tensors[name] for name in report.matched}, strict=False)
    return report


def _convertible(tensor: Tensor, target: Tensor) -> bool:
    """Return whether a tensor's dtype can be converted to the target's."""
    return not tensor.is_complex() and (tensor.is_floating_point() or not target.is_floating_point())


def _check_codes(model: LabramModel, tensors: Mapping[str, Tensor], report: LoadReport, source: Path) -> None:
    """Raise an error if the tensors differ from the model in the number of codes only."""
    target = model.state_dict()
    if set(report.unmatched) == {"of another shape"} and set(report.mismatched) == _CODES & target.keys():
        name = report.mismatched[0]
        expected, actual = target[name].shape, tensors[name].shape
        if actual[:1] != expected[:1]:
            raise CodebookSizeError(
                f"wrong number of codes: expected {expected[0]}, got {next(iter(actual), 0)}",
                file=source,
                field=name,
                remedy="Use the configuration that was written with these weights",
            )


def _complaint(unmatched: Mapping[str, tuple[str, ...]]) -> str:
    problems = [f"{len(names)} tensors {problem} (such as {names[0]})" for problem, names in unmatched.items()]
    return "the weights do not fit the model: " + ", ".join(problems)
