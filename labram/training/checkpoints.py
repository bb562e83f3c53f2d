"""Checkpoints that cannot be lost half-way: atomic, digested, complete, safetensors and JSON only.

A checkpoint is a folder ``step-000123`` with a few ``*.safetensors``, ``history.jsonl`` and ``state.json``, which
holds the digest of every other file and of itself. It is written under another name, flushed to the disk and renamed;
the pointer file ``latest`` is replaced last. The newest `KEPT` are kept, and the one that the file ``best`` names: of
all whose weights were validated, the one with the smallest loss.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from labram.atomic import TEMPORARY_FILES, atomic_folder, atomic_path
from labram.errors import CheckpointError
from labram.jsonl import read_rows, write_rows

KEPT = 2
POINTER, BEST, STATE, HISTORY = "latest", "best", "state.json", "history.jsonl"
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a training consists of after some step.

    Attributes:
        step: Steps done.
        identity: What the training depends on, as nested JSON values; see `Checkpoints.newest`.
        tensors: Groups of tensors by name, such as weights and optimiser.
        state: Counters, as JSON values.
        history: The metrics logged so far.
        loss: Of the validation of just these weights, if there was one.
    """

    step: int
    identity: Mapping[str, Any]
    tensors: Mapping[str, Tensors]
    state: Mapping[str, Any] = field(default_factory=dict)
    history: Sequence[Mapping[str, Any]] = ()
    loss: float | None = None

    def each(self, change: Callable[[Tensors], Tensors]) -> "Checkpoint":
        """The same with every group of tensors changed."""
        return replace(self, tensors={group: change(tensors) for group, tensors in self.tensors.items()})


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one training, in one folder."""

    folder: Path

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, whole or not at all, then forget the oldest.

        Raises:
            CheckpointError: If the disk is full or cannot be written; earlier checkpoints are untouched.
        """
        try:
            place = self.folder / f"step-{checkpoint.step:06d}"
            with atomic_folder(place) as temporary:
                temporary.mkdir(parents=True)
                _write(checkpoint, temporary)
            self._point(POINTER, place.name)
            best = self._best()
            if checkpoint.loss is not None and (best is None or checkpoint.loss < best[1]):
                self._point(BEST, f"{place.name} {checkpoint.loss!r}")
            self._forget()
        except (OSError, SafetensorError) as error:
            raise CheckpointError(
                f"the checkpoint of step {checkpoint.step} cannot be written ({error})",
                file=self.folder,
                remedy="Free some space or choose another workspace",
            ) from error

    def newest(
        self, identity: Mapping[str, Any], warn: Callable[[str], None], *, allow: bool = False
    ) -> Checkpoint | None:
        """The newest whole checkpoint, or None where there is none at all.

        Args:
            identity: What the training depends on now.
            warn: Told of each damaged checkpoint that was passed over, and of changes that are allowed.
            allow: Whether it may be a checkpoint of another identity.

        Raises:
            CheckpointError: If the training that wrote it depended on something else; names what changed.
        """
        for place in self._candidates():
            try:
                checkpoint = _read(place)
            except (OSError, ValueError, KeyError, SafetensorError) as error:
                warn(f"checkpoint {place.name} is damaged ({error}) and was passed over")
                continue
            changed = differences(checkpoint.identity, identity)
            if changed and allow:
                warn(f"the training goes on although it was begun otherwise: {'; '.join(changed)}")
            elif changed:
                raise CheckpointError(
                    f"this training was begun otherwise: {'; '.join(changed)}",
                    file=place,
                    remedy="Restore what changed, allow the change, or delete the folder of checkpoints to begin anew",
                )
            return checkpoint
        return None

    def _candidates(self) -> list[Path]:
        """Newest first; the pointer decides where a crash left it behind a folder that is already in place."""
        places = self._places()[::-1]
        try:
            named = self.folder / (self.folder / POINTER).read_text().strip()
        except OSError:
            return places
        return sorted(places, key=lambda place: place != named)

    def _places(self) -> list[Path]:
        """All checkpoints, oldest first."""
        return sorted(self.folder.glob("step-*"), key=lambda place: (len(place.name), place.name))

    def _best(self) -> tuple[str, float] | None:
        """Name and loss of the best checkpoint so far."""
        try:
            name, loss = (self.folder / BEST).read_text().split()
            return name, float(loss)
        except (OSError, ValueError):
            return None

    def _point(self, pointer: str, text: str) -> None:
        with atomic_path(self.folder / pointer) as temporary:
            temporary.write_text(f"{text}\n")

    def _forget(self) -> None:
        """Remove what is older than the newest and not the best, and what killed writers left behind."""
        best = self._best()
        old = [place for place in self._places()[:-KEPT] if best is None or place.name != best[0]]
        for place in [*old, *self.folder.glob(TEMPORARY_FILES)]:
            if place.is_dir():
                shutil.rmtree(place, ignore_errors=True)
            else:
                place.unlink(missing_ok=True)


def differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """What differs between two nested mappings, as ``key: old → new``."""
    found = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differences(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key}: {_shown(old)} → {_shown(new)}")
    return found


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _write(checkpoint: Checkpoint, folder: Path) -> None:
    for name, tensors in checkpoint.tensors.items():
        file = folder / f"{name}.safetensors"
        save_file({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}, file)
    write_rows(folder / HISTORY, checkpoint.history)
    content = {
        "step": checkpoint.step,
        "identity": dict(checkpoint.identity),
        "state": dict(checkpoint.state),
        "digests": {file.name: _digest(file) for file in sorted(folder.iterdir())},
    }
    text = json.dumps(content, sort_keys=True)
    (folder / STATE).write_text(json.dumps({"content": content, "digest": _digest_of(text)}))


def _read(folder: Path) -> Checkpoint:
    """Raises ValueError and the like for anything that is not as it was written."""
    stored = json.loads((folder / STATE).read_text())
    content = stored["content"]
    if _digest_of(json.dumps(content, sort_keys=True)) != stored["digest"]:
        raise ValueError(f"{STATE} was changed")
    for name, digest in content["digests"].items():
        if _digest(folder / name) != digest:
            raise ValueError(f"{name} was changed")
    names = [Path(name) for name in content["digests"] if name.endswith(".safetensors")]
    return Checkpoint(
        step=content["step"],
        identity=content["identity"],
        tensors={name.stem: load_file(folder / name) for name in names},
        state=content["state"],
        history=read_rows(folder / HISTORY),
    )


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
