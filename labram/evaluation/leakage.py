"""The leakage ledger: what a model has seen, at any stage, by subject and by content.

Content hashes find a recording that came in under another subject or from another workspace, where keys differ;
subject keys find another recording of a subject that was seen.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import Field

from labram.frozen_model import FrozenModel

FILE = "ledger.json"
PRETRAINING = "pretraining"


class Seen(FrozenModel):
    """Subjects and recordings that one stage has used."""

    subjects: tuple[str, ...] = ()
    contents: tuple[str, ...] = ()

    @classmethod
    def of(cls, subject_keys: Iterable[str], content_hashes: Iterable[str]) -> "Seen":
        """Sorted and without repetition."""
        return cls(subjects=tuple(sorted(set(subject_keys))), contents=tuple(sorted(set(content_hashes))))


class Overlap(FrozenModel):
    """What an evaluation shares with what a model has seen, by stage."""

    subjects: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    contents: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether nothing is shared."""
        return not self.subjects and not self.contents

    def describe(self) -> str:
        """One sentence, by stage; counts only."""
        stages = sorted({*self.subjects, *self.contents})
        parts = [
            f"{stage}: {len(self.subjects.get(stage, ()))} subjects, {len(self.contents.get(stage, ()))} recordings"
            for stage in stages
        ]
        return "; ".join(parts) if parts else "nothing is shared"


class Ledger(FrozenModel):
    """Everything that a model has seen; a stage's name is ``tokenizer``, `PRETRAINING` or the task's."""

    stages: dict[str, Seen] = Field(default_factory=dict)

    def after(self, stage: str, seen: Seen) -> "Ledger":
        """This ledger and one more stage."""
        return Ledger(stages={**self.stages, stage: seen})

    def merged(self, other: "Ledger") -> "Ledger":
        """Both ledgers; a stage that is in both gets the union."""
        stages = dict(self.stages)
        for stage, seen in other.stages.items():
            mine = stages.get(stage, Seen())
            stages[stage] = Seen.of((*mine.subjects, *seen.subjects), (*mine.contents, *seen.contents))
        return Ledger(stages=stages)

    def overlap(self, evaluated: Seen) -> Overlap:
        """What `evaluated` shares with each stage."""
        subjects = _shared({stage: seen.subjects for stage, seen in self.stages.items()}, evaluated.subjects)
        contents = _shared({stage: seen.contents for stage, seen in self.stages.items()}, evaluated.contents)
        return Overlap(subjects=subjects, contents=contents)

    def write(self, folder: Path) -> None:
        """Write `FILE` into a model's folder."""
        (folder / FILE).write_text(self.to_json() + "\n")

    @classmethod
    def read(cls, folder: Path) -> "Ledger":
        """The ledger of a model's folder; an empty one where the model came without."""
        path = folder / FILE
        return cls.from_json(path.read_text()) if path.is_file() else cls()


def _shared(stages: Mapping[str, tuple[str, ...]], evaluated: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    found = {stage: tuple(sorted(set(seen) & set(evaluated))) for stage, seen in stages.items()}
    return {stage: shared for stage, shared in found.items() if shared}
