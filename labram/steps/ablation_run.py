"""Ablation run: what one fine-tuning of a study starts from."""

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
    """Write the part of the corpus that the run may use, and its backbone; return the run.

    Args:
        workspace: The workspace.
        corpus: Folder that `quality` wrote.
        backbone: Folder of the backbone.
        settings: One of `labram.evaluation.study.ablation_runs`, as JSON.
        part: Folder for its corpus.
        model: Folder for its backbone.
    """
    wanted = AblationRun.from_json(settings)
    with tracked("ablation_run", Workspace.at(workspace).root, label=wanted.label) as run:
        whole = Corpus.load(Path(corpus))
        seen = whole if wanted.variant.subjects == 1.0 else fewer_subjects(whole, wanted)
        seen.save(Path(part))
        subjects = seen.accepted("train", wanted.task.dataset)["subject_key"].nunique()
        run.note(f"{subjects} training subjects")
        if wanted.variant.pretrained:
            shutil.copytree(backbone, model, dirs_exist_ok=True)
        else:
            untrained(Path(backbone), wanted.seed, Path(model))
    return wanted


def fewer_subjects(corpus: Corpus, wanted: AblationRun) -> Corpus:
    """The corpus without some training subjects of the task's dataset; who stays, is spread over classes as splits are.

    Args:
        corpus: Judged and split.
        wanted: Its share of the subjects and its seed decide.
    """
    catalogue = corpus.catalogue.copy()
    ours = (catalogue["split"] == "train") & (catalogue["dataset"] == wanted.task.dataset)
    without_parts = Corpus(catalogue[ours].assign(split=""), corpus.labels)
    left_out = SplitRecipe(validation=0.0, test=1.0 - wanted.variant.subjects)
    chosen = splits.assign_splits(without_parts, left_out, wanted.seed)
    stays = catalogue["subject_key"].map(chosen).eq("train")
    catalogue["split"] = catalogue["split"].where(~ours | stays, "")
    return Corpus(catalogue, corpus.labels)


def untrained(backbone: Path, seed: int, out: Path) -> None:
    """Write a backbone of the same dimensions with random values."""
    import torch

    trained = weights.load(backbone)
    assert isinstance(trained, MaskedModel)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        weights.save(MaskedModel(trained.config), out)
