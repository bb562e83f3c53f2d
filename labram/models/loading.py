"""Putting tensors into a model, all of them or none, with an account of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from labram.errors import CodebookSizeError, MisfitWeightsError, NonFiniteWeightsError
from labram.models.official_layout import LabramModel

_CODES = frozenset({"lm_head.weight", "lm_head.bias", "quantizer.codebook", "quantizer.usage"})
"""Tensors with one row for each code."""


@dataclass(frozen=True)
class LoadReport:
    """What became of every tensor when weights were put into a model.

    Attributes:
        matched: Loaded.
        missing: In the model, not in the file.
        unexpected: In the file, not in the model.
        mismatched: In both, with different shapes.
        mistyped: In both, but complex in the file, or integers for what is none.
        excused: Not loaded, and why that is right.
        assumed: Dimensions that the file does not show: the value taken, and why.
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
        """What is neither loaded nor excused, by what is wrong with it."""
        wrong = {
            "missing": self.missing,
            "unexpected": self.unexpected,
            "of another shape": self.mismatched,
            "of another type": self.mistyped,
        }
        return {what: names for what, names in wrong.items() if names}

    @property
    def clean(self) -> bool:
        """Whether every tensor is loaded or excused."""
        return not self.unmatched

    def to_json(self) -> dict[str, Any]:
        """Counts and names as plain JSON values."""
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
    """What would become of each tensor if these were put into the model; `excused` gives reasons by name."""
    reasons = dict(excused or {})
    target = model.state_dict()
    common = target.keys() & tensors.keys()
    mistyped = {name for name in common if not _suits(tensors[name], target[name])}
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
    """Put tensors into a model.

    Raises:
        MisfitWeightsError: If the report is not clean; the model is then as it was.
        CodebookSizeError: If all that differs is the number of codes; likewise.
        NonFiniteWeightsError: If a value is NaN or infinite, or beyond the model's precision; likewise.
    """
    report = compare(model, tensors, excused)
    _same_codes(model, tensors, report, source)
    if not report.clean:
        raise MisfitWeightsError(
            _complaint(report.unmatched),
            file=source,
            remedy="Load it as the kind and size of model that it is",
            unmatched=report.unmatched,
        )
    target = model.state_dict()
    broken = [name for name in report.matched if not bool(torch.isfinite(tensors[name].to(target[name].dtype)).all())]
    if broken:
        raise NonFiniteWeightsError(
            f"{len(broken)} tensors hold NaN or infinite values, or too large for float32, the first is {broken[0]}",
            file=source,
            remedy="The training that wrote it diverged: use an earlier checkpoint",
        )
    model.load_state_dict({name: tensors[name] for name in report.matched}, strict=False)
    return report


def _suits(tensor: Tensor, target: Tensor) -> bool:
    """Whether its numbers can stand for the target's."""
    return not tensor.is_complex() and (tensor.is_floating_point() or not target.is_floating_point())


def _same_codes(model: LabramModel, tensors: Mapping[str, Tensor], report: LoadReport, source: Path) -> None:
    """Refuse tensors that agree with each other about the codes, and not with the model."""
    target = model.state_dict()
    if set(report.unmatched) == {"of another shape"} and set(report.mismatched) == _CODES & target.keys():
        name = report.mismatched[0]
        expected, found = target[name].shape, tensors[name].shape
        if found[:1] != expected[:1]:
            raise CodebookSizeError(
                f"has {next(iter(found), 0)} codes, the model {expected[0]}",
                file=source,
                field=name,
                remedy="Use the configuration that was written with these weights",
            )


def _complaint(unmatched: Mapping[str, tuple[str, ...]]) -> str:
    said = [f"{len(names)} tensors {what} (such as {names[0]})" for what, names in unmatched.items()]
    return "the weights do not fit the model: " + ", ".join(said)
