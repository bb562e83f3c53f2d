"""Where a workspace keeps what: one place that knows the folder names."""

import os
from dataclasses import dataclass
from pathlib import Path

from labram.errors import PlatformError
from labram.logs import CORPUS_VARIABLE, redact_folder

CORPUS_PLACEHOLDER = f"${CORPUS_VARIABLE}"
"""What stands for the corpus folder where arguments are logged and kept, as KFP does."""

STORE_VARIABLE = "LABRAM_STORE"


@dataclass(frozen=True)
class Workspace:
    """The folder, `.labram` by default, that holds everything a run writes. Never committed."""

    root: Path

    @classmethod
    def at(cls, path: str | Path) -> "Workspace":
        """The workspace at `path`, which need not exist yet.

        Raises:
            PlatformError: If the absolute path cannot be used.
        """
        root = Path(path).absolute()
        check_path(root, field="--workspace", forbidden=("python3", "%", "?", "#"))
        return cls(root)

    def create(self) -> None:
        """Create the folder if need be.

        Raises:
            PlatformError: If that is not possible.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PlatformError(
                f"the workspace cannot be made ({error.strerror})",
                file=self.root,
                field="--workspace",
                remedy="Name a folder in which you may write",
            ) from error

    @property
    def store(self) -> Path | str:
        """Patches, content-addressed: the folder or ``s3://`` address in `LABRAM_STORE`, if that is set."""
        given = os.environ.get(STORE_VARIABLE)
        if not given:
            return self.root / "store"
        return given if "://" in given else Path(given).absolute()

    @property
    def pipeline(self) -> Path:
        """KFP's local pipeline root: artifacts and cache."""
        return self.root / "pipeline"

    def checkpoints(self, stage: str, key: str) -> Path:
        """Checkpoints of one training stage; `key` names everything that it depends on."""
        return self.root / "checkpoints" / stage / key

    def run(self, name: str) -> Path:
        """Recipe, events, log, report and result of one pipeline run."""
        return self.root / "runs" / name


def corpus_folder(data: str) -> Path:
    """The corpus folder that a step was given, by its path or as placeholder; no path within it is written anywhere."""
    folder = Path(os.path.expandvars(data))
    redact_folder(folder)
    return folder


def check_path(path: Path, *, field: str, forbidden: tuple[str, ...] = ("python3",)) -> None:
    """Refuse paths that would not arrive as they are.

    KFP's local runner replaces ``python3`` wherever a task's arguments hold it; the address of a SQLite database is a
    URI, in which some characters mean something else.

    Raises:
        PlatformError: Names the text that may not be there.
    """
    for text in forbidden:
        if text in str(path):
            raise PlatformError(
                f"the path contains {text!r}, which does not arrive as it is in the programs below",
                file=path,
                field=field,
                remedy="Choose a folder without that text in its path",
            )
