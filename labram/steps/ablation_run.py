"""Ablation run: prepare corpus and backbone for one fine-tuning of a study."""

import shutil
from pathlib import Path

from labram.corpus import splits
from labram.corpus.catalogue import Corpus
from labram.evaluation.study import AblationRun
from labram.models import weights
from labram.models.masked import MaskedModel
from labram.platform.workspace import Workspace
from labram.recipe import SplitRecipe
from labram.tracking.mlflow_runs import tracked


def ablation_run(*, workspace: str, corpus: str, backbone: str, settings: str, part: str, model: str) -> AblationRun:
    """Write the part of the corpus and the backbone that one run of a study uses; return the run's settings.

    Args:
        workspace: The workspace.
        corpus: Folder that `quality` wrote.
        backbone: Folder of the backbone.
        settings: One of `labram.evaluation.study.ablation_runs`, as JSON.
        part: Folder for the part of the corpus.
        model: Folder for the backbone.
    """
    run_settings = AblationRun.from_json(settings)
    with tracked("ablation_run", Workspace.at(workspace).root, label=run_settings.label) as run:
        full = Corpus.load(Path(corpus))
        used = full if run_settings.variant.subjects == 1.0 else subset_subjects(full, run_settings)
        used.save(Path(part))
        subjects = used.accepted("train", run_settings.task.dataset)["subject_key"].nunique()
        run.note(f"{subjects} training subjects")
        if run_settings.variant.pretrained:
            shutil.copytree(backbone, model, dirs_exist_ok=True)
        else:
            write_untrained(Path(backbone), run_settings.seed, Path(model))
    return run_settings


def subset_subjects(corpus: Corpus, run_settings: AblationRun) -> Corpus:
    """Return the corpus without some training subjects of the task's dataset, stratified by class as splits are.

    Args:
        corpus: Corpus with verdicts and splits.
        run_settings: Fraction of the subjects and seed.
    """
    catalogue = corpus.catalogue.copy()
    ours = (catalogue["split"] == "train") & (catalogue["dataset"] == run_settings.task.dataset)
    without_parts = Corpus(catalogue[ours].assign(split=""), corpus.labels)
    left_out = SplitRecipe(validation=0.0, test=1.0 - run_settings.variant.subjects)
    assigned = splits.assign_splits(without_parts, left_out, run_settings.seed)
    stays = catalogue["subject_key"].map(assigned).eq("train")
    catalogue["split"] = catalogue["split"].where(~ours | stays, "")
    return Corpus(catalogue, corpus.labels)


def write_untrained(backbone: Path, seed: int, out: Path) -> None:
    """Write a backbone of the same dimensions with random weights."""
    import torch

    trained = weights.load(backbone)
    assert isinstance(trained, MaskedModel)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        weights.save(MaskedModel(trained.config), out)
