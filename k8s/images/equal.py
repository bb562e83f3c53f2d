"""Say whether the newest models of two workspaces have the same weights: ``python k8s/images/equal.py ONE OTHER``."""

import sys
from pathlib import Path

from labram.registry import model_registry


def main(one: Path, other: Path) -> None:
    """Print both digests of each model; end with 1 unless they are the same models with the same weights."""
    found = [digests(one), digests(other)]
    for name in sorted(found[0].keys() | found[1].keys()):
        here, there = (side.get(name, "none") for side in found)
        sys.stdout.write(f"{name:20} {here:16.16} {there:16.16} {'equal' if here == there else 'DIFFERENT'}\n")
    sys.exit(found[0] != found[1] or not found[0])


def digests(workspace: Path) -> dict[str, str]:
    """The digest of the weights of each model's newest version."""
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{workspace.absolute()}/mlflow/mlflow.db")
    return {
        version.name: version.tags[model_registry.DIGEST_TAG] for version in reversed(model_registry.list_versions())
    }


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
