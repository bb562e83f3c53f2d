"""Layout of the workspace folder."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from labram.errors import PlatformError
from labram.logs import CORPUS_VARIABLE, redact_folder

CORPUS_PLACEHOLDER = f"${CORPUS_VARIABLE}"
"""Placeholder for the corpus folder in arguments that KFP logs and stores."""

STORE_VARIABLE = "LABRAM_STORE"
FORBIDDEN = {
    "{{$": "KFP takes for a placeholder",
    "/kfp-workspace": "KFP takes for its own folder",
}
"""Texts that KFP would change in task arguments, each with the reason."""
FORBIDDEN_IN_URI = dict.fromkeys("%?", "has a special meaning in the URI of MLflow's database")


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
        check_path(root, field="--workspace", forbidden=FORBIDDEN | FORBIDDEN_IN_URI)
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

    @property
    def test_uses(self) -> Path:
        """Log of the tests, see `labram.evaluation.test_uses`."""
        return self.root / "test-uses.jsonl"

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


def check_path(path: Path, *, field: str, forbidden: Mapping[str, str] = FORBIDDEN) -> None:
    """Check that a path has no text that KFP or MLflow would change.

    Args:
        path: An absolute path.
        field: The option that names it.
        forbidden: Texts that it must not contain, each with the reason.

    Raises:
        PlatformError: If the path contains one of `forbidden`.
    """
    for text, reason in forbidden.items():
        if text in str(path):
            raise PlatformError(
                f'the path must not contain "{text}", which {reason}',
                file=path,
                field=field,
                remedy="Choose another folder",
            )
