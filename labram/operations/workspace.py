"""Where a workspace keeps what: one place that knows the folder names."""

from dataclasses import dataclass
from pathlib import Path

from labram.errors import PlatformError


@dataclass(frozen=True)
class Workspace:
    """The folder, `.labram` by default, that holds everything a run writes. Never committed."""

    root: Path

    @classmethod
    def at(cls, path: str | Path) -> "Workspace":
        """The workspace at `path`, which need not exist yet.

        Raises:
            PlatformError: If the absolute path would be corrupted by KFP's local runner, which replaces the text
                ``python3`` wherever a task's arguments hold it.
        """
        root = Path(path).absolute()
        if "python3" in str(root):
            raise PlatformError(
                "the path of the workspace contains 'python3', which KFP's local runner rewrites",
                field="--workspace",
                remedy="Choose a folder without that text in its path",
            )
        return cls(root)

    @property
    def store(self) -> Path:
        """Preprocessed patches, content-addressed."""
        return self.root / "store"

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
