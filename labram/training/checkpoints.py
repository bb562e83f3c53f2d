"""Checkpoints: written atomically, verified by checksums, in safetensors and JSON only.

A checkpoint is a folder ``step-000123`` with ``*.safetensors``, ``history.jsonl`` and ``state.json``, which has the
SHA-256 of every other file and of itself. The folder is written atomically, and the file ``latest`` is replaced
last. The newest `KEEP_NEWEST` checkpoints are kept, and the one with the smallest validation loss, which the file
``best`` names.
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
from labram.checksums import hash_file
from labram.errors import CheckpointError
from labram.jsonl import read_rows, write_rows
from labram.training.output_files import HISTORY_FILE

KEEP_NEWEST = 2
LATEST, BEST, STATE = "latest", "best", "state.json"
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """The complete state of a training after a step.

    Attributes:
        step: Number of completed steps.
        identity: Settings and data that the training depends on, as nested JSON values; see `Checkpoints.newest`.
        tensors: Tensors by group, such as ``weights`` and ``optimiser``, and name.
        state: Counters, as JSON values.
        history: Metrics logged so far.
        loss: Validation loss of these weights, or None if they were not validated.
    """

    step: int
    identity: Mapping[str, Any]
    tensors: Mapping[str, Tensors]
    state: Mapping[str, Any] = field(default_factory=dict)
    history: Sequence[Mapping[str, Any]] = ()
    loss: float | None = None

    def map_tensors(self, function: Callable[[Tensors], Tensors]) -> "Checkpoint":
        """Return a copy with `function` applied to each group of tensors."""
        return replace(self, tensors={group: function(tensors) for group, tensors in self.tensors.items()})


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one training, in one folder."""

    folder: Path

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint atomically, then delete old ones.

        Raises:
            CheckpointError: If it cannot be written, such as on a full disk; earlier checkpoints stay intact.
        """
        final = self.folder / f"step-{checkpoint.step:06d}"
        try:
            with atomic_folder(final) as temporary:
                temporary.mkdir(parents=True)
                _write(checkpoint, temporary)
            self._write_pointer(LATEST, final.name)
            best = self._best()
            if checkpoint.loss is not None and (best is None or checkpoint.loss < best[1]):
                self._write_pointer(BEST, f"{final.name} {checkpoint.loss!r}")
            self._delete_old()
        except (OSError, SafetensorError) as error:
            raise CheckpointError(
                f"the checkpoint of step {checkpoint.step} cannot be written ({error})",
                file=self.folder,
                remedy="Free disk space or choose another workspace",
            ) from error

    def newest(
        self, identity: Mapping[str, Any], warn: Callable[[str], None], *, allow: bool = False
    ) -> Checkpoint | None:
        """Read the newest intact checkpoint.

        Args:
            identity: Settings and data that the training depends on now.
            warn: Called with a text for each damaged checkpoint that is skipped, and for allowed differences.
            allow: Whether the checkpoint may have another identity.

        Returns:
            The checkpoint, or None if there is none.

        Raises:
            CheckpointError: If it was written with another identity and `allow` is false.
        """
        for folder in self._candidates():
            try:
                checkpoint = _read(folder)
            except (OSError, ValueError, KeyError, SafetensorError) as error:
                warn(f"skipping checkpoint {folder.name}: it is damaged ({error})")
                continue
            changed = "; ".join(differences(checkpoint.identity, identity))
            if changed and allow:
                warn(f"resuming from a checkpoint that was written with other settings: {changed}")
            elif changed:
                raise CheckpointError(
                    f"checkpoint was written with other settings: {changed}",
                    file=folder,
                    remedy="Use --allow to resume anyway",
                )
            return checkpoint
        return None

    def _candidates(self) -> list[Path]:
        """Return checkpoint folders in the order to try: that of `LATEST`, then newest first.

        The two differ if a crash left `LATEST` behind a folder that is already complete.
        """
        newest_first = self._folders()[::-1]
        try:
            latest = self.folder / (self.folder / LATEST).read_text(encoding="utf-8").strip()
        except OSError:
            return newest_first
        return sorted(newest_first, key=lambda folder: folder != latest)

    def _folders(self) -> list[Path]:
        """Return all checkpoint folders, oldest first."""
        return sorted(self.folder.glob("step-*"), key=lambda folder: (len(folder.name), folder.name))

    def _best(self) -> tuple[str, float] | None:
        """Return name and loss of the best checkpoint so far."""
        try:
            name, loss = (self.folder / BEST).read_text(encoding="utf-8").split()
            return name, float(loss)
        except (OSError, ValueError):
            return None

    def _write_pointer(self, pointer: str, text: str) -> None:
        with atomic_path(self.folder / pointer) as temporary:
            temporary.write_text(f"{text}\n", encoding="utf-8")

    def _delete_old(self) -> None:
        """Delete checkpoints that are neither newest nor best, and temporary files of killed writers."""
        best = self._best()
        old = [folder for folder in self._folders()[:-KEEP_NEWEST] if best is None or folder.name != best[0]]
        for path in [*old, *self.folder.glob(TEMPORARY_FILES)]:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the differences between two nested mappings, as ``key: old → new``."""
    changes = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            changes += differences(old, new, f"{prefix}{key}.")
        elif old != new:
            changes.append(f"{prefix}{key}: {_shortened(old)} → {_shortened(new)}")
    return changes


def _shortened(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _write(checkpoint: Checkpoint, folder: Path) -> None:
    for name, tensors in checkpoint.tensors.items():
        file = folder / f"{name}.safetensors"
        save_file({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}, file)
    write_rows(folder / HISTORY_FILE, checkpoint.history)
    content = {
        "step": checkpoint.step,
        "identity": dict(checkpoint.identity),
        "state": dict(checkpoint.state),
        "digests": {file.name: hash_file(file) for file in sorted(folder.iterdir())},
    }
    text = json.dumps(content, sort_keys=True)
    (folder / STATE).write_text(json.dumps({"content": content, "digest": _digest_of(text)}), encoding="utf-8")


def _read(folder: Path) -> Checkpoint:
    """Read a checkpoint; raise `ValueError`, `KeyError`, `OSError` or `SafetensorError` if it is damaged."""
    stored = json.loads((folder / STATE).read_text(encoding="utf-8"))
    content = stored["content"]
    if _digest_of(json.dumps(content, sort_keys=True)) != stored["digest"]:
        raise ValueError(f"{STATE}: checksum mismatch")
    for name, digest in content["digests"].items():
        if hash_file(folder / name) != digest:
            raise ValueError(f"{name}: checksum mismatch")
    names = [Path(name) for name in content["digests"] if name.endswith(".safetensors")]
    return Checkpoint(
        step=content["step"],
        identity=content["identity"],
        tensors={name.stem: load_file(folder / name) for name in names},
        state=content["state"],
        history=read_rows(folder / HISTORY_FILE),
    )


def _digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
