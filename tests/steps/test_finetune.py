"""Under a cross-validation a fine-tuned model is trained once for each fold, and once to be registered."""

from pathlib import Path

from labram.corpus.catalogue import Corpus
from labram.corpus.folds import cross_validated
from labram.recipe import SplitRecipe
from labram.steps.finetune import _jobs_of_folds
from labram.training.distributed.job import Job
from tests.corpus.test_splits import corpus_of, simple


def test_every_fold_has_its_own_subjects_checkpoints_and_folder(tmp_path: Path) -> None:
    corpus = cross_validated(corpus_of(simple(6)), SplitRecipe(kind="kfold", folds=3), 0, {"set"})
    job = Job(
        stage="finetune",
        corpus=tmp_path / "corpus",
        store="store",
        settings="{}",
        seed=0,
        checkpoints=tmp_path / "c",
        out=tmp_path / "out",
    )
    jobs = list(_jobs_of_folds(job, corpus, "set"))
    assert [each.out.relative_to(tmp_path).as_posix() for each in jobs] == [
        "out/folds/0-0", "out/folds/0-1", "out/folds/0-2", "out",
    ]  # fmt: skip
    assert len({each.checkpoints for each in jobs}) == 4
    counts = [Corpus.load(each.corpus).accepted()["split"].value_counts().to_dict() for each in jobs]
    assert counts == [{"train": 4, "validation": 4, "test": 4}] * 3 + [{"train": 8, "validation": 4}]
