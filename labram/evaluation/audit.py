"""The record of an audit: what a task model's embeddings know besides the task, beside permuted labels."""

from pathlib import Path

from labram import checksums
from labram.frozen_model import FrozenModel

FILE = "audit.json"


class Null(FrozenModel):
    """A value beside those of permuted labels.

    Attributes:
        value: The value; None if undefined.
        mean: Mean over permutations.
        upper: Their 95th percentile.
        p: Share of permutations, the true order included, with a value at least as good.
    """

    value: float | None
    mean: float | None
    upper: float | None
    p: float | None


class Audit(FrozenModel):
    """Result of an audit.

    Attributes:
        windows: Number of windows.
        subjects: Number of subjects.
        label_varies_within: Fraction of subjects with more than one label. At 0, task and subject cannot be separated
            by windows of one subject.
        subject_variance: Share of the variance of the embeddings that the subject explains.
        subject_variance_before: Share that the subject explains before fine-tuning; None for a frozen backbone.
        dataset: Accuracy of the dataset of new subjects' windows, over the whole corpus; None with one dataset.
        label_variance: Share that the label explains; None for regression.
        identity: Accuracy of the subject's identity, predicted from the embedding of another part of the recordings.
        task: Headline metric of a ridge probe on new subjects; labels are permuted within subjects where they vary.
        without_subjects: The same with the mean of each subject removed from the embeddings; None if undefined.
        alignments: The same by alignment.
        expected_calibration_error: Mean distance of confidence and accuracy of the model's predictions.
        reliability: (mean confidence, accuracy, windows) by bin of confidence.
        by_subject: Headline metric of the model's predictions by subject, in ascending order; None where undefined.
        by_montage: The same by number of channels.
        frozen_parameters: Parameters of the encoder.
        fitted_parameters: Values of the probe; 0 if the model's own head predicts.
    """

    windows: int
    subjects: int
    label_varies_within: float
    subject_variance: Null
    label_variance: Null | None
    identity: Null
    task: Null
    without_subjects: float | None
    alignments: dict[str, float | None]
    expected_calibration_error: float | None
    reliability: tuple[tuple[float, float, int], ...]
    by_subject: tuple[float | None, ...]
    by_montage: dict[str, float | None]
    subject_variance_before: Null | None = None
    dataset: Null | None = None
    frozen_parameters: int
    fitted_parameters: int

    def write(self, folder: Path) -> None:
        """Write `FILE`."""
        checksums.write_json(folder / FILE, self.model_dump(mode="json"), indent=1)

    @classmethod
    def read(cls, folder: Path) -> "Audit | None":
        """Return the audit in a folder; None if it has none.

        Raises:
            DamagedFileError: If the file was altered.
        """
        path = folder / FILE
        return cls.model_validate(checksums.loads(checksums.read_checked(path))) if path.is_file() else None
