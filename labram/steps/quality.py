"""Quality: judge every recording, keep accepted and quarantined apart, split the subjects."""

from collections.abc import Sequence
from pathlib import Path

from labram.corpus.quality import judge
from labram.operations.tracking import tracked
from labram.operations.workspace import Workspace
from labram.recipe import QualityRecipe, SplitRecipe


def quality(
    *, workspace: str, parts: Sequence[str], tasks: Sequence[str], thresholds: str, split: str, seed: int, out: str
) -> None:
    """Merge the shards' catalogues and write the judged one.

    Args:
        workspace: The workspace.
        parts: Folders that `ingest` wrote.
        tasks: Names of tasks that must have labels.
        thresholds: The recipe's section `quality`, as JSON.
        split: The recipe's section `split`, as JSON.
        seed: For the split.
        out: Folder for the corpus.
    """
    with tracked("quality", Workspace.at(workspace).root) as run:
        summary = judge(
            [Path(part) for part in parts],
            Path(out),
            quality=QualityRecipe.from_json(thresholds),
            split=SplitRecipe.from_json(split),
            seed=seed,
            tasks=tasks,
        )
        run.note(str(summary))
        run.metrics(0, summary.figures())
        run.files(Path(out), "quality.json")
