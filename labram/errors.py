"""Errors that users, files or machines can cause.

Every `LabramError` states the problem, the file and field, and a remedy. `ValueError`, `KeyError` and the like are for
defects in the code.
"""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from labram.printable import one_line, printable


class LabramWarning(UserWarning):
    """A problem that the user should know of and that does not stop the program."""


class LabramError(Exception):
    """Base class of all errors addressed to the user.

    Args:
        problem: What is wrong: what was expected, and what was found.
        remedy: What the reader can do about it, as an imperative sentence.
        file: The file or folder with the problem.
        field: The field, option, column or key with the problem.
    """

    def __init__(self, problem: str, *, remedy: str, file: Path | str | None = None, field: str | None = None) -> None:
        self.problem, self.remedy, self.field = problem, remedy, field
        self.file = str(file) if file is not None else None
        super().__init__(str(self))

    def __str__(self) -> str:
        where = ", ".join(one_line(part) for part in (self.file, self.field) if part)
        return printable(f"{where + ': ' if where else ''}{self.problem}. {self.remedy}.")

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with all attributes, for errors raised in worker processes."""
        return restore, (type(self), self.__dict__)


def restore(kind: type[LabramError], state: Mapping[str, object]) -> LabramError:
    """Return an error raised in another process, from its class and attributes."""
    error = kind.__new__(kind)
    error.__dict__.update(state)
    error.args = (str(error),)
    return error


class RecipeError(LabramError):
    """An invalid recipe or override."""


class CorpusError(LabramError):
    """An unusable corpus folder."""


class DamagedFileError(LabramError):
    """A file of a run or corpus that differs from its checksum, or lacks one that it needs."""


class LabelError(LabramError):
    """Labels that are missing or contradict the recordings."""


class StoreError(LabramError):
    """An absent or damaged entry of the patch store, or a store that cannot be read or written."""


class NonFinitePatchesError(StoreError):
    """Patches with NaN or infinite values; the store takes finite ones only."""


class WindowError(LabramError):
    """Windows of signals that do not fit a model."""


class WeightsError(LabramError):
    """Unusable weights; the subclasses state the reason."""


class DamagedWeightsError(WeightsError):
    """A weights file that is truncated, altered or of another type."""


class UnsafeWeightsError(WeightsError):
    """A checkpoint that would run code on loading; it was not loaded."""


class MisfitWeightsError(WeightsError):
    """Weights with missing or unexpected tensors, or wrong shapes: `unmatched` lists them all."""

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
    """Weights whose spatial table is for other electrodes, or for another order."""


class CodebookSizeError(WeightsError):
    """A codebook, or a head that predicts its codes, of an unexpected size."""


class CheckpointError(LabramError):
    """A training checkpoint that cannot be written or resumed from."""


class TrainingError(LabramError):
    """A training run that cannot continue."""


class RegistryError(LabramError):
    """A model, alias or run that is not in the registry, or that it rejects."""


class SignatureError(LabramError):
    """A registered version that is not signed, signed by somebody else, or changed since."""


class PlatformError(LabramError):
    """A failure of a service, program or machine that labram depends on."""


class Reason(StrEnum):
    """Reason for which a recording is quarantined. The value is the reason code in catalogues and reports."""

    UNREADABLE = "unreadable"
    NOT_DOWNLOADED = "not_downloaded"
    UNSUPPORTED = "unsupported_format"
    DAMAGED = "damaged"
    TRUNCATED = "truncated"
    OUTSIDE = "outside_folder"
    NOT_EEG = "not_eeg"
    ANNOTATIONS_ONLY = "annotations_only"
    EPOCHED = "epoched"
    NO_CANONICAL_CHANNELS = "no_canonical_channels"
    CHANNELS_LOST = "channels_lost"
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
    """labram failed, or its reader process ended: a defect that should be reported."""


class ReadError(LabramError):
    """A recording that cannot be read; it is quarantined with `reason`."""

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
