"""Every error that a user of labram can cause or meet.

An error says what was found, in which file and field, and what to do next. `ValueError`, `KeyError` and the like
are for what the code did wrong; what a user, a file or a machine did wrong is a `LabramError`.
"""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType


class LabramWarning(UserWarning):
    """Something that the user should know and that does not stop the work."""


class LabramError(Exception):
    """Base of all errors that are meant to be read by a user.

    Args:
        problem: What was found, and what was expected.
        remedy: What the reader can do about it, as an imperative.
        file: The file or folder that it is about.
        field: The field, option, column or key that it is about.
    """

    def __init__(self, problem: str, *, remedy: str, file: Path | str | None = None, field: str | None = None) -> None:
        self.problem, self.remedy, self.field = problem, remedy, field
        self.file = str(file) if file is not None else None
        super().__init__(str(self))

    def __str__(self) -> str:
        where = ", ".join(part for part in (self.file, self.field) if part)
        return f"{where + ': ' if where else ''}{self.problem}. {self.remedy}."

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the way back from a worker process, keyword arguments included."""
        return restored, (type(self), self.__dict__)


def restored(kind: type[LabramError], state: Mapping[str, object]) -> LabramError:
    """An error of another process, from its kind and attributes."""
    error = kind.__new__(kind)
    error.__dict__.update(state)
    error.args = (str(error),)
    return error


class RecipeError(LabramError):
    """A recipe, or an override of one, that cannot be used."""


class CorpusError(LabramError):
    """A corpus folder that cannot be used as a whole."""


class LabelError(LabramError):
    """Labels that are missing or contradict the recordings."""


class StoreError(LabramError):
    """A patch store entry that is absent or damaged."""


class WindowError(LabramError):
    """A window of signals that a model cannot take."""


class WeightsError(LabramError):
    """Weights that cannot be used; the kinds below say why."""


class DamagedWeightsError(WeightsError):
    """A file of weights that is truncated, altered or not what its name says."""


class UnsafeWeightsError(WeightsError):
    """A checkpoint that would run code if it were read; it was not."""


class MisfitWeightsError(WeightsError):
    """Tensors that are missing from a model's weights, too many, or of another shape: `unmatched` names them all."""

    def __init__(
        self,
        problem: str,
        *,
        remedy: str,
        file: Path | str | None = None,
        field: str | None = None,
        unmatched: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    ) -> None:
        self.unmatched = dict(unmatched)
        super().__init__(problem, remedy=remedy, file=file, field=field)


class NonFiniteWeightsError(WeightsError):
    """Weights with NaN or infinite values."""


class ElectrodeTableError(WeightsError):
    """Weights whose spatial table is for other electrodes, or the same in another order."""


class CodebookSizeError(WeightsError):
    """A codebook, or a head that predicts its codes, of another size than expected."""


class CheckpointError(LabramError):
    """A training checkpoint that cannot be resumed from."""


class TrainingError(LabramError):
    """Training that cannot go on."""


class RegistryError(LabramError):
    """A model, alias or run that the registry does not have or refuses."""


class PlatformError(LabramError):
    """A service, program or machine that labram depends on and that failed."""


class Reason(StrEnum):
    """Why a recording is refused. The value is the reason code in catalogues and reports."""

    UNREADABLE = "unreadable"
    UNSUPPORTED = "unsupported_format"
    DAMAGED = "damaged"
    TRUNCATED = "truncated"
    NOT_EEG = "not_eeg"
    EPOCHED = "epoched"
    NO_CANONICAL_CHANNELS = "no_canonical_channels"
    TOO_SHORT = "too_short"
    LOW_RATE = "low_rate"
    FLAT = "flat"
    IMPLAUSIBLE_UNIT = "implausible_unit"
    EXCESSIVE_AMPLITUDE = "excessive_amplitude"
    GAPS = "gaps"
    DUPLICATE_CONTENT = "duplicate_content"
    DUPLICATE_SUBJECT = "duplicate_subject"
    DUPLICATE_FORMAT = "duplicate_format"
    MISSING_LABEL = "missing_label"
    UNPROCESSABLE = "unprocessable"
    """Reading it made labram itself fail, or ended the process that read it: a defect worth a report."""


class ReadError(LabramError):
    """A recording that cannot be read; it goes to the quarantine under `reason`."""

    def __init__(
        self,
        problem: str,
        *,
        reason: Reason,
        remedy: str,
        file: Path | str | None = None,
        field: str | None = None,
    ) -> None:
        self.reason = reason
        super().__init__(problem, remedy=remedy, file=file, field=field)
