"""An ablation run sees the share of the training subjects that it may, and nothing else of the corpus changes."""

import torch

from labram.corpus.catalogue import Corpus
from labram.evaluation.study import AblationRun
from labram.models import weights
from labram.models.config import BackboneConfig
from labram.models.masked import MaskedModel
from labram.recipe import TaskRecipe, VariantRecipe
from labram.steps.ablation_run import subset_subjects, write_untrained

TASK = TaskRecipe(name="t", title="T", dataset="ours", kind="binary", classes=("a", "b"), metric="auroc")
SPLITS = ["train"] * 8 + ["validation"] * 2 + ["test"] * 4


def corpus() -> Corpus:
    """Two datasets; in ours, every other subject is of class b."""
    rows, labels = [], []
    for dataset in ("ours", "other"):
        for number, split in enumerate(SPLITS):
            name = f"{dataset}-{number}"
            known = {
                "recording_id": name,
                "subject_key": name,
                "content_hash": name,
                "dataset": dataset,
                "split": split,
            }
            rows.append(
                known | {"montage": ["CZ"], "seconds": 10, "verdict": "accepted", "reasons": [], "warnings": []}
            )
            labels.append({"recording_id": name, "task": "t", "start": 0.0, "seconds": 4.0, "label": [number % 2]})
    return Corpus.of(rows, labels)


def left(share: float, seed: int = 0) -> Corpus:
    return subset_subjects(
        corpus(), AblationRun(variant=VariantRecipe(name="few", subjects=share), task=TASK, seed=seed)
    )


def training_subjects(found: Corpus) -> set[str]:
    return set(found.accepted("train", "ours")["subject_key"])


def test_half_of_the_training_subjects_stay_and_both_classes_do():
    stays = training_subjects(left(0.5))
    assert len(stays) == 4
    assert {int(name.removeprefix("ours-")) % 2 for name in stays} == {0, 1}


def test_another_seed_leaves_others_out_and_the_same_seed_the_same():
    assert training_subjects(left(0.5)) == training_subjects(left(0.5))
    assert len({frozenset(training_subjects(left(0.5, seed))) for seed in range(5)}) > 1


def test_who_is_held_out_and_other_datasets_stay_as_they_are():
    whole, found = corpus(), left(0.25)
    for split in ("validation", "test"):
        assert found.accepted(split).equals(whole.accepted(split))
    assert found.accepted("train", "other").equals(whole.accepted("train", "other"))
    assert len(found.catalogue) == len(whole.catalogue)


def test_a_backbone_of_random_values_has_the_dimensions_and_depends_on_the_seed(tmp_path):
    config = BackboneConfig(width=100, conv_channels=4, heads=5, depth=1, codes=16)
    torch.manual_seed(9)
    weights.save(MaskedModel(config), tmp_path / "trained")
    for name, seed in (("a", 0), ("again", 0), ("b", 1)):
        write_untrained(tmp_path / "trained", seed, tmp_path / name)
    digests = {name: weights.digest(tmp_path / name) for name in ("trained", "a", "again", "b")}
    assert weights.load(tmp_path / "a").config == config
    assert digests["a"] == digests["again"]
    assert len(set(digests.values())) == 3
