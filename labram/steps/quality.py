"""Quality: accept or quarantine every recording, and split the subjects."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from labram.corpus.quality import QUALITY_FILE, SUMMARY_FILE, check_quality
from labram.platform.workspace import Workspace
from labram.recipe import QualityRecipe, SplitRecipe
from labram.reporting import run_report
from labram.store.store import Store
from labram.tracking.mlflow_runs import tracked


def quality(
    *,
    workspace: str,
    parts: Sequence[str],
    label_sources: Mapping[str, str],
    thresholds: str,
    split: str,
    seed: int,
    out: str,
) -> None:
    """Merge the catalogues of all shards; write the catalogue with verdicts and splits.

    Args:
        workspace: The workspace.
        parts: Folders that `ingest` wrote.
        label_sources: For each task, the dataset that must have labels for it.
        thresholds: Recipe section `quality`, as JSON.
        split: Recipe section `split`, as JSON.
        seed: Seed of the split.
        out: Folder for the corpus.
    """
    layout = Workspace.at(workspace)
    with tracked("quality", layout.root) as run:
        try:
            summary = check_quality(
                [Path(part) for part in parts],
                Path(out),
                quality=QualityRecipe.from_json(thresholds),
                split=SplitRecipe.from_json(split),
                seed=seed,
                tasks=label_sources,
                store=Store(layout.store),
            )
        finally:  # also if the corpus cannot be used
            if (Path(out) / QUALITY_FILE).is_file():
                run_report.quality.write(Path(out), Path(out) / run_report.quality.PAGE)
        run.note(
            f"{summary.accepted} recordings accepted, {summary.quarantined} in quarantine, {summary.hours:.2f} hours"
        )
        run.log_artifacts(Path(out), QUALITY_FILE, SUMMARY_FILE, run_report.quality.PAGE)
