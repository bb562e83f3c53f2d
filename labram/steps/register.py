"""Register: log tokenizer, backbone and task models to the registry, with the alias `challenger`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from labram.corpus.catalogue import Corpus
from labram.evaluation.leakage import Seen
from labram.evaluation.predictions import PREDICTIONS_FILE
from labram.evaluation.record import Evaluation
from labram.evaluation.statistics import Estimate
from labram.evaluation.subgroups import groupings, subgroups
from labram.platform.workspace import Workspace
from labram.recipe import Recipe
from labram.registry import model_card, model_registry, predictions
from labram.registry.model_registry import ModelVersion
from labram.reporting import card_page
from labram.steps.artifacts import (
    read_codebook,
    read_evaluation,
    read_ledger,
    read_predictions,
    write_versions,
)
from labram.tracking import lineage, mlflow_runs
from labram.training.output_files import HARDWARE_FILE

BESIDE_THE_WEIGHTS = ("evaluation", "baseline", "audit", "operating_point")
"""How the names of files of an evaluation begin that are logged with the task model."""


def register(
    *,
    workspace: str,
    corpus_version: str,
    recipe: str,
    corpus: str,
    models: Sequence[str],
    evaluations: Sequence[str],
    out: str,
    start: str = "",
    tokenizer: str | None = None,
    backbone: str | None = None,
) -> None:
    """Register every model with its model card and lineage; write `versions.json`: model name to version.

    Args:
        workspace: The workspace.
        corpus_version: Version of the corpus, from `plan_run`.
        recipe: The whole recipe as JSON.
        corpus: Folder that `quality` wrote.
        models: Folders of the task models, in the order of the recipe's tasks.
        evaluations: Folders of their evaluations, in the same order.
        out: Folder for `versions.json`.
        start: Backbone that the run started from, see `labram.steps.load_backbone.pin`; empty if none.
        tokenizer: Folder of the tokenizer; None if the run trained none.
        backbone: Folder of the backbone; None if the run trained none.
    """
    layout, settings = Workspace.at(workspace), Recipe.from_json(recipe)
    with mlflow_runs.tracked("register", layout.root) as run:
        recordings = Corpus.load(Path(corpus))
        log = _Log(run, settings, recordings, corpus_version, start)
        built_from: dict[str, str] = _built_from(start)
        if tokenizer is not None:
            card = model_card.tokenizer_card(read_codebook(tokenizer), log.data, log.origin)
            threads = settings.tokenizer.threads
            version = log.model(model_registry.TOKENIZER, Path(tokenizer), card, threads=threads)
            built_from["tokenizer_version"] = version.pin
        if backbone is not None:
            scored = [read_evaluation(folder) for folder in evaluations]
            probes = [each.backbone for each in scored if each.backbone is not None]
            card, threads = (
                model_card.backbone_card(log.data, log.origin, probes, settings.gates),
                settings.pretraining.threads,
            )
            version = log.model(model_registry.BACKBONE, Path(backbone), card, threads=threads, built_from=built_from)
            built_from["backbone_version"] = version.pin
        for task, model, evaluation in zip(settings.tasks, models, evaluations, strict=True):
            name, folder = model_registry.task_model_name(task.name), Path(evaluation)
            scores = read_evaluation(folder)
            rows = recordings.tested(task.dataset)
            card = model_card.task_card(
                name,
                scores,
                log.data,
                log.origin,
                settings.gates,
                groups=subgroups(read_predictions(folder), task, groupings(recordings.accepted())),
                ledger=read_ledger(model),
                evaluated=Seen.of(rows["subject_key"], rows["content_hash"]),
            )
            files = [path for path in sorted(folder.iterdir()) if path.name.startswith(BESIDE_THE_WEIGHTS)]
            log.model(name, Path(model), card, files, threads=task.threads, scores=scores, built_from=built_from)
            predictions.log(log.parent, task.name, folder / PREDICTIONS_FILE)
        write_versions(out, log.versions)


class _Log:
    """Registers the models of a run and collects their versions."""

    def __init__(
        self, run: mlflow_runs.TrackedStep, recipe: Recipe, corpus: Corpus, corpus_version: str, start: str
    ) -> None:
        name = mlflow_runs.pipeline_run_name()
        self.data = model_card.TrainingData.from_corpus(corpus)
        subjects = {"subjects": self.data.guessed} if self.data.guessed else {}
        self.origin = lineage.lineage_tags(recipe, corpus_version, start) | {"pipeline_run": name} | subjects
        self.origin |= {"splits_hash": corpus.splits_hash()}
        self.parent = mlflow_runs.find_parent_run(name) or run.run_id
        self.versions: dict[str, str] = {}
        self._run, self._recipe = run, recipe

    def model(
        self,
        name: str,
        folder: Path,
        card: str,
        extra_files: Sequence[Path] = (),
        *,
        threads: int,
        scores: Evaluation | None = None,
        built_from: Mapping[str, str] = MappingProxyType({}),
    ) -> ModelVersion:
        hardware = folder / HARDWARE_FILE
        observed = {"hardware": hardware.read_text(encoding="utf-8").strip()} if hardware.is_file() else {}
        version = model_registry.register(
            name,
            folder,
            run_id=self.parent,
            recipe=self._recipe,
            lineage=self.origin | dict(built_from) | {"threads": str(threads)},
            card=card,
            texts={card_page.FILE: card_page.render(name, card)},
            extra_files=extra_files,
            circumstances=lineage.circumstances() | observed | (_scores(scores) if scores else {}),
        )
        champion = model_registry.CHAMPION in version.aliases
        self._run.note(
            f"{name} version {version.version} is {'the champion already' if champion else 'now the challenger'}"
        )
        self.versions[name] = version.version
        return version


def _scores(evaluation: Evaluation) -> dict[str, str]:
    """Return the headline scores of a task model as tags."""
    return {
        "metric": evaluation.metric,
        "score": str(evaluation.headline),
        "baseline_score": str(evaluation.baseline.get(evaluation.metric, Estimate(value=None))),
        "difference": str(evaluation.difference),
        "beats_baseline": evaluation.against_baseline.value,
        "alignment": evaluation.alignment,
    } | ({"calibrated": "true"} if evaluation.calibrated else {})


def _built_from(start: str) -> dict[str, str]:
    """Return the backbone that a run started from, and the tokenizer of that backbone if it is registered."""
    if not start:
        return {}
    address = start.rpartition("#")[0]
    tags = model_registry.find_version(address).tags if address.startswith("models:/") else {}
    return {key: value for key, value in tags.items() if key == "tokenizer_version"} | {"backbone_version": start}
