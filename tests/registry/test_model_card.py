"""A model card tells what the model is, from what, how good, and what it is not for."""

import re

import numpy as np
import yaml

from labram.corpus.catalogue import Corpus
from labram.evaluation.leakage import Ledger, Seen
from labram.evaluation.predictions import Predictions
from labram.evaluation.record import summarise
from labram.evaluation.subgroups import Subgroup
from labram.recipe import GateRecipe, TaskRecipe
from labram.registry.front_matter import without_front_matter
from labram.registry.model_card import Amount, TrainingData, backbone_card, task_card, tokenizer_card
from labram.reporting import card_page

TASK = TaskRecipe(
    name="workload", title="Workload", dataset="eegmat", kind="binary", classes=("rest", "task"), metric="auroc"
)
LINEAGE = {"git_commit": "abc123", "corpus_version": "v7", "git_dirty": ""}


def corpus():
    splits = ("train", "validation", "test", "train")
    rows = [
        {
            "recording_id": str(number),
            "dataset": "eegmat" if number < 3 else "simulated",
            "subject_key": f"s{number}",
            "seconds": 1800,
            "verdict": "accepted",
            "split": split,
        }
        for number, split in enumerate(splits)
    ]
    return Corpus.of(rows, [])


def evaluation(baseline_skill):
    generator = np.random.default_rng(0)
    y = np.tile([0.0, 1.0], 30)
    names = np.repeat(["a", "b", "c"], 20)
    better, other = (
        1 / (1 + np.exp(-(skill * (y - 0.5) + generator.normal(size=60)))) for skill in (3, baseline_skill)
    )
    predictions = Predictions(names, names, np.arange(60.0), y, better, other)
    return summarise(
        predictions, TASK, split="test", corpus_version="v7", bootstrap=50, seed=0, baseline_method="band power"
    )


def test_only_recordings_that_training_used_are_counted():
    data = TrainingData.from_corpus(corpus())
    assert data.total == Amount(recordings=3, subjects=3, hours=1.5)
    assert data.datasets == {"eegmat": Amount(2, 2, 1.0), "simulated": Amount(1, 1, 0.5)}
    assert TrainingData.from_corpus(corpus(), "eegmat").total == Amount(2, 2, 1.0)


def test_a_task_card_has_results_beside_the_baseline_limits_and_lineage():
    card = task_card(
        "labram-workload", evaluation(0.1), TrainingData.from_corpus(corpus(), "eegmat"), LINEAGE, GateRecipe()
    )
    assert without_front_matter(card).startswith("# labram-workload\n")
    metadata = yaml.safe_load(card.split("---\n")[1])
    assert (metadata["license"], metadata["datasets"]) == ("mit", ["eegmat"])
    (result,) = metadata["model-index"][0]["results"]
    (auroc,) = (row for row in result["metrics"] if row["type"] == "auroc")
    assert auroc["value"] == round(evaluation(0.1).model["auroc"].value, 6)
    assert result["dataset"]["split"] == "test"
    assert "The model is better than the baseline, but not significantly (band power) on auroc" in card
    assert "too few" in card, "cautions of the evaluation are passed on"
    assert "Not a medical device" in card
    assert "## Licence" in card
    assert re.search(
        r"\n- EEG During Mental Arithmetic Tasks.*: 2 recordings of 2 subjects, 1\.00 hours\n", card, re.IGNORECASE
    )
    assert "Test split, 3 subjects: 60 windows" in card
    assert "auroc, 0.500 by chance. Intervals: " in card
    assert "git_commit: `abc123`" in card
    assert "git_dirty" not in card
    assert "| auroc | 0." in card


def test_a_card_has_overlap_subgroups_and_how_to_reproduce_and_a_page_shows_them():
    seen = Ledger(stages={"pretraining": Seen.of(["a", "x"], ["1", "2", "3"]), "workload": Seen.of(["y"], ["4"])})
    groups = [Subgroup("montage <b>one</b>", 0.41, 2, 40), Subgroup("montage other", None, 1, 20)]
    origin = LINEAGE | {"pipeline_run": "tiny-1"}
    data, found = TrainingData.from_corpus(corpus(), "eegmat"), evaluation(0.1)
    tested = Seen.of(["a", "b"], ["9"])
    card = task_card("m", found, data, origin, GateRecipe(), groups=groups, ledger=seen, evaluated=tested)
    assert "| pretraining | 2 | 3 | 1 | 0 |\n| workload | 1 | 1 | 0 | 0 |" in card
    assert "| montage <b>one</b> | 0.410 | 2 | 40 |\n| montage other | undefined | 1 | 20 |" in card
    assert "`labram reproduce tiny-1`" in card
    page = card_page.render("m", card)
    assert "<h2>Overlap of training and test</h2>" in page
    assert "<td>0.410</td>" in page
    assert "montage &lt;b&gt;one&lt;/b&gt;" in page
    assert "model-index" not in page, "front matter is for machines"
    assert "not known" in task_card("m", found, data, origin, GateRecipe())


def test_a_card_does_not_hide_that_the_baseline_won():
    card = task_card("labram-workload", evaluation(30), TrainingData.from_corpus(corpus()), LINEAGE, GateRecipe())
    assert "The model does not beat the baseline" in card


def test_simulated_signals_are_called_so():
    assert "including simulated signals" in backbone_card(TrainingData.from_corpus(corpus()), LINEAGE)
    assert "simulated" not in backbone_card(TrainingData.from_corpus(corpus(), "eegmat"), LINEAGE)


def test_a_tokenizer_card_has_the_use_of_its_codebook():
    card = tokenizer_card({"used": 40, "perplexity": 21.5}, TrainingData.from_corpus(corpus()), LINEAGE)
    assert "40 codes used, perplexity 21.5" in card


def test_a_card_states_that_the_baseline_gate_is_off_and_whether_the_model_is_below():
    data, off = TrainingData.from_corpus(corpus(), "eegmat"), GateRecipe(baseline=False, margin=0.0)
    assert "gates.baseline" not in task_card("m", evaluation(9), data, LINEAGE, GateRecipe())
    assert "promoted below its baseline" in task_card("m", evaluation(9), data, LINEAGE, off)
    above = task_card("m", evaluation(0.1), data, LINEAGE, off)
    assert "`gates.baseline: false`" in above
    assert "promoted below" not in above


def test_a_card_states_how_subjects_are_aligned_and_what_a_request_must_hold():
    data = TrainingData.from_corpus(corpus(), "eegmat")
    plain, aligned = (
        task_card("m", evaluation(1).model_copy(update={"alignment": line}), data, LINEAGE, GateRecipe())
        for line in ("none", "Euclidean alignment, by subject and montage")
    )
    assert "Alignment: none." in plain
    assert "one subject" not in plain
    assert "Alignment: Euclidean alignment, by subject and montage." in aligned
    assert "a request has windows of one subject only" in aligned
