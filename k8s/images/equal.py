"""Compare the weights of the newest models of two workspaces: ``python k8s/images/equal.py FIRST SECOND``."""

import sys
from pathlib import Path

from labram.registry import model_registry


def main(first: Path, second: Path) -> None:
    """Print both digests of each model; exit with 1 unless both have the same models with the same weights."""
    both = [digests(first), digests(second)]
    for name in sorted(both[0].keys() | both[1].keys()):
        one, other = (models.get(name, "none") for models in both)
        sys.stdout.write(f"{name:20} {one:16.16} {other:16.16} {'equal' if one == other else 'DIFFERENT'}\n")
    sys.exit(both[0] != both[1] or not both[0])


def digests(workspace: Path) -> dict[str, str]:
    """Return the weights digest of each model's newest version."""
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{workspace.absolute()}/mlflow/mlflow.db")
    return {
        version.name: version.tags[model_registry.DIGEST_TAG] for version in reversed(model_registry.list_versions())
    }


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
