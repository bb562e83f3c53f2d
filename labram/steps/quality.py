"""Quality: judge every recording, keep accepted and quarantined apart, split the subjects."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from labram.corpus.quality import QUALITY_FILE, SUMMARY_FILE, check_quality
from labram.platform.workspace import Workspace
from labram.recipe import QualityRecipe, SplitRecipe
from labram.reporting import run_report
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
    """Merge the shards' catalogues and write the judged one.

    Args:
        workspace: The workspace.
        parts: Folders that `ingest` wrote.
        label_sources: By task, the dataset that must have labels for it.
        thresholds: The recipe's section `quality`, as JSON.
        split: The recipe's section `split`, as JSON.
        seed: For the split.
        out: Folder for the corpus.
    """
    with tracked("quality", Workspace.at(workspace).root) as run:
        try:
            summary = check_quality(
                [Path(part) for part in parts],
                Path(out),
                quality=QualityRecipe.from_json(thresholds),
                split=SplitRecipe.from_json(split),
                seed=seed,
                tasks=label_sources,
            )
        finally:  # a corpus that cannot be used has all the more to show
            if (Path(out) / QUALITY_FILE).is_file():
                run_report.quality.write(Path(out), Path(out) / run_report.quality.PAGE)
        run.note(
            f"{summary.accepted} recordings accepted, {summary.quarantined} in quarantine, {summary.hours:.2f} hours"
        )
        run.log_artifacts(Path(out), QUALITY_FILE, SUMMARY_FILE, run_report.quality.PAGE, "data_docs/*.html")
