"""Layout of the workspace folder."""

import os
from dataclasses import dataclass
from pathlib import Path

from labram.errors import PlatformError
from labram.logs import CORPUS_VARIABLE, redact_folder

CORPUS_PLACEHOLDER = f"${CORPUS_VARIABLE}"
"""Placeholder for the corpus folder in arguments that KFP logs and stores."""

STORE_VARIABLE = "LABRAM_STORE"
_REASONS = {"python3": "KFP's local runner rewrites in task arguments"}
_URI_REASON = "has a special meaning in a URI"


@dataclass(frozen=True)
class Workspace:
    """Folder, `.labram` by default, with everything that runs write. Never committed."""

    root: Path

    @classmethod
    def at(cls, path: str | Path) -> "Workspace":
        """Return the workspace at `path`, which need not exist yet.

        Raises:
            PlatformError: If the absolute path cannot be used.
        """
        root = Path(path).absolute()
        check_path(root, field="--workspace", forbidden=("python3", "%", "?", "#"))
        return cls(root)

    def create(self) -> None:
        """Create the folder if it does not exist.

        Raises:
            PlatformError: If it cannot be created.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PlatformError(
                f"the workspace cannot be created ({error.strerror})",
                file=self.root,
                field="--workspace",
                remedy="Choose a folder with write permission",
            ) from error

    @property
    def store(self) -> Path | str:
        """Content-addressed patch store: `LABRAM_STORE` (a folder or an ``s3://`` URI), or else a subfolder."""
        store = os.environ.get(STORE_VARIABLE)
        if not store:
            return self.root / "store"
        return store if "://" in store else Path(store).absolute()

    @property
    def pipeline(self) -> Path:
        """KFP's local pipeline root: artifacts and cache."""
        return self.root / "pipeline"

    def checkpoints(self, stage: str, key: str) -> Path:
        """Return the checkpoint folder of a training stage; `key` identifies everything that it depends on."""
        return self.root / "checkpoints" / stage / key

    def run(self, name: str) -> Path:
        """Return the folder of a pipeline run: recipe, events, log, report and result."""
        return self.root / "runs" / name


def corpus_folder(data: str) -> Path:
    """Return the corpus folder from its path or `CORPUS_PLACEHOLDER`, and hide paths below it in logs and errors."""
    folder = Path(os.path.expandvars(data))
    redact_folder(folder)
    return folder


def check_path(path: Path, *, field: str, forbidden: tuple[str, ...] = ("python3",)) -> None:
    """Check that a path has no text that KFP or MLflow would change.

    KFP's local runner rewrites ``python3`` in task arguments, and the characters ``% ? #`` have a meaning in the URI of
    MLflow's SQLite database.

    Raises:
        PlatformError: If the path contains one of `forbidden`.
    """
    for text in forbidden:
        if text in str(path):
            raise PlatformError(
                f'the path must not contain "{text}", which {_REASONS.get(text, _URI_REASON)}',
                file=path,
                field=field,
                remedy="Choose another folder",
            )
