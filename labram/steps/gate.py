"""Gate: decide for each challenger whether it may become champion."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from labram.corpus.catalogue import Corpus
from labram.errors import RegistryError
from labram.evaluation.calibration import calibration_error
from labram.evaluation.leakage import Seen
from labram.evaluation.predictions import Predictions
from labram.evaluation.record import Evaluation
from labram.evaluation.scoring import champion_predictions
from labram.evaluation.statistics import MIN_SUBJECTS
from labram.evaluation.subgroups import groupings, subgroups
from labram.evaluation.test_uses import log_use
from labram.platform.workspace import Workspace
from labram.recipe import Recipe, TaskRecipe
from labram.registry import gates, model_registry, predictions
from labram.registry.gates import Gate, Verdict
from labram.registry.model_registry import ModelVersion
from labram.registry.smoke_test import smoke_test
from labram.steps.artifacts import (
    VERDICTS_FILE,
    last_validation,
    read_codebook,
    read_evaluation,
    read_ledger,
    read_predictions,
    read_versions,
    write_verdicts,
)
from labram.store.store import Store
from labram.tracking import kfp_summary, mlflow_runs
from labram.tracking.mlflow_runs import tracked


def gate(
    *,
    workspace: str,
    recipe: str,
    corpus: str,
    evaluations: Sequence[str],
    versions: str,
    out: str,
    summary: str,
    tokenizer: str | None = None,
    backbone: str | None = None,
) -> None:
    """Evaluate the gates of every registered version; write `verdicts.json`.

    A backbone passes if probes of its frozen embeddings are better than those of random weights, and its tokenizer
    passes with it. In a run without tasks, the first backbone passes if it predicts masked codes better than their
    frequencies do.

    Args:
        workspace: The workspace.
        recipe: The whole recipe as JSON.
        corpus: Folder that `quality` wrote.
        evaluations: Folders of the evaluations, in the order of the recipe's tasks.
        versions: Folder that `register` wrote.
        out: Folder for `verdicts.json`.
        summary: Markdown file for Kubeflow Pipelines.
        tokenizer: Folder of the tokenizer; None if the run trained none.
        backbone: Folder of the backbone; None if the run trained none.
    """
    layout, settings = Workspace.at(workspace), Recipe.from_json(recipe)
    registered = read_versions(versions)
    with tracked("gate", layout.root) as run:
        recordings, store = Corpus.load(Path(corpus), sealed=True), Store(layout.store)
        verdicts = [
            _task_verdict(task, settings, registered, recordings, store, Path(evaluation), layout.test_uses)
            for task, evaluation in zip(settings.tasks, evaluations, strict=True)
        ]
        if tokenizer is not None and backbone is not None:
            scored = [read_evaluation(evaluation) for evaluation in evaluations]
            verdicts += _pretrained_verdicts(scored, settings, registered, Path(tokenizer), Path(backbone))
        wishes = {"approval": settings.gates.approval == "required", "sign": settings.gates.sign}
        verdicts = [verdict.model_copy(update=wishes) for verdict in verdicts]
        for verdict in verdicts:
            run.note(
                f"{verdict.model} version {verdict.version}: {verdict.outcome if verdict.passed else 'not promoted'}"
            )
        write_verdicts(out, verdicts)
        run.log_artifacts(Path(out), VERDICTS_FILE)
        run.write_summary(summary, kfp_summary.table(("model", "gate", "", "detail"), _rows(verdicts)))


def _rows(verdicts: Sequence[Verdict]) -> Iterator[tuple[str, ...]]:
    for verdict in verdicts:
        model = kfp_summary.link_to_model(verdict.model, verdict.version)
        for gate in verdict.gates:
            outcome = "**turned off**" if gate.waived else "passed" if gate.passed else "**failed**"
            yield model, gate.name, outcome, gate.detail


def _task_verdict(
    task: TaskRecipe,
    recipe: Recipe,
    registered: dict[str, str],
    corpus: Corpus,
    store: Store,
    evaluation: Path,
    test_uses: Path,
) -> Verdict:
    name = model_registry.task_model_name(task.name)
    folder = model_registry.local_folder(f"models:/{name}/{registered[name]}")
    champion = model_registry.get_by_alias(name, model_registry.CHAMPION)
    if champion is not None and champion.version == registered[name]:
        champion = None
    scored = read_evaluation(evaluation)
    results = [
        gates.better_than_chance(scored, recipe.gates.floors.get(task.name)),
        gates.baseline_not_better(scored, margin=recipe.gates.margin, required=recipe.gates.baseline),
        gates.not_calibrated(scored, allow=recipe.gates.allow_calibrated),
    ]
    if champion is not None:
        run_name = mlflow_runs.pipeline_run_name()
        log_use(test_uses, corpus.tested(task.dataset, task.name), task=task.name, purpose="champion", run=run_name)
        results.append(
            gates.metric_not_worse(
                read_predictions(evaluation),
                _champion_predictions(corpus, store, champion, task),
                task,
                margin=recipe.gates.margin,
                bootstrap=recipe.gates.bootstrap,
                seed=recipe.seed,
            )
        )
    if task.operating_point:
        results.append(gates.sensitive(scored.decisions, recipe.gates.sensitivity.get(task.name)))
    results += _about_groups(scored, read_predictions(evaluation), task, recipe, corpus)
    results.append(_golden(read_predictions(evaluation), task, recipe, corpus))
    leak = _leakage(task, recipe, corpus, folder, scored)
    return _verdict(name, registered[name], [*results, leak, *smoke_test(name, registered[name])])


def _champion_predictions(corpus: Corpus, store: Store, champion: ModelVersion, task: TaskRecipe) -> Predictions | None:
    """Return the champion's predictions for the tested windows, or those that its run logged if it was fine-tuned."""
    found = champion_predictions(corpus, store, model_registry.local_folder(champion.uri), task)
    if found is None and champion.run_id:
        with suppress(RegistryError):  # its run logged none
            return predictions.read(champion.run_id, task.name)
    return found


def _leakage(task: TaskRecipe, recipe: Recipe, corpus: Corpus, folder: Path, scored: Evaluation) -> Gate:
    ledger, rows = read_ledger(folder), corpus.tested(task.dataset)
    evaluated = Seen.of(rows["subject_key"], rows["content_hash"])
    allow = recipe.gates.allow_overlap
    if scored.protocol == "holdout":
        return gates.leakage(ledger, evaluated, allow=allow)
    marked = allow or recipe.split.pretraining == "all"
    return gates.leakage(ledger.without(task.name), evaluated, allow=marked, folds=scored.folds)


def _golden(tested: Predictions, task: TaskRecipe, recipe: Recipe, corpus: Corpus) -> Gate:
    rows = corpus.tested(task.dataset)
    ids = dict(zip(rows["content_hash"], rows["recording_id"], strict=True))
    return gates.golden_recordings(tested, task, [one for one in recipe.gates.golden if one.task == task.name], ids)


def _about_groups(
    scored: Evaluation, tested: Predictions, task: TaskRecipe, recipe: Recipe, corpus: Corpus
) -> list[Gate]:
    """Return the gates on subgroups and on calibration."""
    return [
        gates.subgroups_not_worse(
            scored,
            subgroups(tested, task, groupings(corpus.accepted())),
            max_loss=recipe.gates.max_subgroup_loss,
            min_subjects=MIN_SUBJECTS,
        ),
        gates.calibrated(
            calibration_error(task.kind, tested.y, tested.prediction),
            most=recipe.gates.max_calibration_error,
        ),
    ]


def _pretrained_verdicts(
    scored: Sequence[Evaluation], recipe: Recipe, registered: dict[str, str], tokenizer: Path, backbone: Path
) -> list[Verdict]:
    """Return the verdicts on backbone and tokenizer; the tokenizer passes only with the backbone that needs it."""
    name = model_registry.BACKBONE
    if scored:
        probes = [each.backbone for each in scored if each.backbone is not None]
        learnt = [gates.better_than_random(probes, required=recipe.gates.probes)]
    else:
        champion = model_registry.get_by_alias(name, model_registry.CHAMPION)
        learnt = [
            gates.masked_accuracy(last_validation(backbone)),
            gates.no_task_comparison(champion.version if champion else None),
        ]
    codebook = gates.codebook_health(read_codebook(tokenizer), recipe.gates)  # whose codes the backbone predicts
    judged = _verdict(name, registered[name], [codebook, *learnt, *smoke_test(name, registered[name])])
    name = model_registry.TOKENIZER
    with_backbone = gates.backbone_passed(judged)
    return [_verdict(name, registered[name], [codebook, *smoke_test(name, registered[name]), with_backbone]), judged]


def _verdict(name: str, version: str, results: Sequence[Gate]) -> Verdict:
    champion = model_registry.get_by_alias(name, model_registry.CHAMPION)
    before = champion.version if champion else None
    return Verdict(model=name, version=version, champion=before, gates=tuple(results))
