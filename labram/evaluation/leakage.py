"""The leakage ledger: subjects and recordings that a model was trained on, by training stage.

Content hashes find a recording that was ingested under another subject or in another workspace, where subject keys
differ. Subject keys find other recordings of a subject that was used.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import Field

from labram import checksums
from labram.frozen_model import FrozenModel

FILE = "ledger.json"
PRETRAINING = "pretraining"
_DIGITS_BEFORE = 10


class Seen(FrozenModel):
    """Subjects and recordings used by one stage, or in an evaluation."""

    subjects: tuple[str, ...] = ()
    contents: tuple[str, ...] = ()

    @classmethod
    def of(cls, subject_keys: Iterable[str], content_hashes: Iterable[str]) -> "Seen":
        """Return the record with sorted, unique keys and hashes."""
        return cls(subjects=tuple(sorted(set(subject_keys))), contents=tuple(sorted(set(content_hashes))))


class Overlap(FrozenModel):
    """Subjects and recordings of an evaluation that were used in training, by stage."""

    subjects: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    contents: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether no subject and no recording is shared."""
        return not self.subjects and not self.contents

    def describe(self) -> str:
        """Return the counts by stage in one line."""
        stages = sorted({*self.subjects, *self.contents})
        parts = [
            f"{stage}: {len(self.subjects.get(stage, ()))} subjects, {len(self.contents.get(stage, ()))} recordings"
            for stage in stages
        ]
        return "; ".join(parts) if parts else "nothing is shared"


class Ledger(FrozenModel):
    """Subjects and recordings that a model was trained on, by stage: ``tokenizer``, `PRETRAINING` or a task."""

    stages: dict[str, Seen] = Field(default_factory=dict)

    def after(self, stage: str, seen: Seen) -> "Ledger":
        """Return this ledger with one more stage."""
        return Ledger(stages={**self.stages, stage: seen})

    def without(self, stage: str) -> "Ledger":
        """Return this ledger without a stage, such as the task, whose subjects a cross-validation keeps apart."""
        return Ledger(stages={name: seen for name, seen in self.stages.items() if name != stage})

    def merged(self, other: "Ledger") -> "Ledger":
        """Return the union of both ledgers."""
        stages = dict(self.stages)
        for stage, seen in other.stages.items():
            mine = stages.get(stage, Seen())
            stages[stage] = Seen.of((*mine.subjects, *seen.subjects), (*mine.contents, *seen.contents))
        return Ledger(stages=stages)

    def overlap(self, evaluated: Seen) -> Overlap:
        """Return the subjects and recordings that `evaluated` shares with each stage."""
        subjects = _shared({stage: seen.subjects for stage, seen in self.stages.items()}, evaluated.subjects)
        contents = _shared({stage: seen.contents for stage, seen in self.stages.items()}, evaluated.contents)
        return Overlap(subjects=subjects, contents=contents)

    def write(self, folder: Path) -> None:
        """Write `FILE` to a model's folder."""
        checksums.write_json(folder / FILE, self.model_dump(mode="json"), sort_keys=True)

    @classmethod
    def read(cls, folder: Path) -> "Ledger":
        """Return the ledger in a model's folder; an empty one if it has none.

        Raises:
            DamagedFileError: If the file was altered.
        """
        path = folder / FILE
        return cls.model_validate(checksums.loads(checksums.read_checked(path))) if path.is_file() else cls()


def _shared(stages: Mapping[str, tuple[str, ...]], evaluated: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    overlap = {stage: _common(set(seen), evaluated) for stage, seen in stages.items()}
    return {stage: shared for stage, shared in overlap.items() if shared}


def _common(seen: set[str], evaluated: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({entry for entry in evaluated if entry in seen or _shortened(entry) in seen}))


def _shortened(subject_key: str) -> str:
    """Return a subject key as ledgers of earlier versions have it, with 10 digits of the same keyed hash."""
    dataset, _, digits = subject_key.rpartition("-")
    return f"{dataset}-{digits[:_DIGITS_BEFORE]}"
