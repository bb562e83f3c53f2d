"""Gate: may the challengers become champions?"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from labram.corpus.catalogue import Corpus
from labram.evaluation.leakage import Ledger
from labram.evaluation.record import Evaluation, Predictions
from labram.evaluation.scoring import champion_predictions
from labram.jsonl import read_rows
from labram.platform.workspace import Workspace
from labram.recipe import Recipe, TaskRecipe
from labram.registry import gates, model_registry
from labram.registry.gates import Gate, Verdict
from labram.registry.smoke_test import smoke_test
from labram.steps.launch_training import seen
from labram.steps.register import VERSIONS_FILE
from labram.store.store import Store
from labram.tracking import kfp_summary
from labram.tracking.mlflow_runs import tracked

VERDICTS_FILE = "verdicts.json"


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
    """Judge every registered version; write `verdicts.json`.

    Tokenizer and backbone are as good as the tasks that were fine-tuned from them: they pass when every task does. In a
    run without tasks the first backbone passes if it has learnt more than how often each code occurs.

    Args:
        workspace: The workspace.
        recipe: The whole recipe as JSON.
        corpus: Folder that `quality` wrote.
        evaluations: Folders of the evaluations, in the order of the recipe's tasks.
        versions: Folder that `register` wrote.
        out: Folder for `verdicts.json`.
        summary: Markdown file for what Kubeflow Pipelines shows.
        tokenizer: Folder of the tokenizer; None if the run made none.
        backbone: Folder of the backbone; None if the run made none.
    """
    place, settings = Workspace.at(workspace), Recipe.from_json(recipe)
    registered: dict[str, str] = json.loads((Path(versions) / VERSIONS_FILE).read_text())
    with tracked("gate", place.root) as run:
        recordings, store = Corpus.load(Path(corpus)), Store(place.store)
        verdicts = [
            _judge_task(task, settings, registered, recordings, store, Path(scored))
            for task, scored in zip(settings.tasks, evaluations, strict=True)
        ]
        if tokenizer is not None and backbone is not None:
            verdicts += list(_judge_pretrained(verdicts, settings, registered, Path(tokenizer), Path(backbone)))
        for verdict in verdicts:
            run.note(f"{verdict.model} version {verdict.version}: {'passed' if verdict.passed else 'refused'}")
        Path(out).mkdir(parents=True, exist_ok=True)
        written = json.dumps([verdict.model_dump(mode="json") for verdict in verdicts], indent=1)
        (Path(out) / VERDICTS_FILE).write_text(written)
        run.log_artifacts(Path(out), VERDICTS_FILE)
        run.write_summary(summary, kfp_summary.table(("model", "gate", "", "why"), _rows(verdicts)))


def _rows(verdicts: Sequence[Verdict]) -> Iterator[tuple[str, ...]]:
    for verdict in verdicts:
        model = kfp_summary.link_to_model(verdict.model, verdict.version)
        for gate in verdict.gates:
            yield model, gate.name, "passed" if gate.passed else "**refused**", gate.detail


def read_verdicts(folder: str) -> list[Verdict]:
    """The verdicts that `gate` wrote."""
    return [Verdict.model_validate(entry) for entry in json.loads((Path(folder) / VERDICTS_FILE).read_text())]


def _judge_task(
    task: TaskRecipe, recipe: Recipe, registered: dict[str, str], corpus: Corpus, store: Store, scored: Path
) -> Verdict:
    name = model_registry.task_model_name(task.name)
    folder = model_registry.local_folder(f"models:/{name}/{registered[name]}")
    champion = model_registry.get_by_alias(name, model_registry.CHAMPION)
    if champion is not None and champion.version == registered[name]:
        champion = None
    if champion is None:
        good = gates.better_than_chance(Evaluation.read(scored / "evaluation.json"), recipe.gates.floors.get(task.name))
    else:
        good = gates.metric_not_worse(
            Predictions.read(scored / "predictions.parquet"),
            champion_predictions(corpus, store, model_registry.local_folder(champion.uri), task),
            task,
            margin=recipe.gates.margin,
            bootstrap=recipe.gates.bootstrap,
            seed=recipe.seed,
        )
    evaluated = seen(corpus, "test", dataset=task.dataset)
    leak = gates.leakage(Ledger.read(folder), evaluated, allow=recipe.gates.allow_overlap)
    return _verdict(name, registered[name], [good, leak, *smoke_test(name, registered[name])])


def _judge_pretrained(
    tasks: Sequence[Verdict], recipe: Recipe, registered: dict[str, str], tokenizer: Path, backbone: Path
) -> Iterator[Verdict]:
    codebook = json.loads((tokenizer / "codebook.json").read_text())
    own = {model_registry.TOKENIZER: [gates.codebook_health(codebook, recipe.gates)], model_registry.BACKBONE: []}
    if not tasks:
        own[model_registry.BACKBONE].append(gates.masked_accuracy(_last_validation(backbone)))
    for name, judged in own.items():
        champion = model_registry.get_by_alias(name, model_registry.CHAMPION)
        others = _all_tasks(tasks) if tasks else gates.no_task_comparison(champion.version if champion else None)
        yield _verdict(name, registered[name], [*judged, *smoke_test(name, registered[name]), others])


def _last_validation(model: Path) -> dict[str, float]:
    rows = read_rows(model / "history.jsonl")
    return dict(next(row for row in reversed(rows) if row.get("phase") == "validation"))


def _verdict(name: str, version: str, judged: Sequence[Gate]) -> Verdict:
    champion = model_registry.get_by_alias(name, model_registry.CHAMPION)
    before = champion.version if champion else None
    return Verdict(model=name, version=version, champion=before, gates=tuple(judged))


def _all_tasks(verdicts: Sequence[Verdict]) -> Gate:
    refused = [verdict.model for verdict in verdicts if not verdict.passed]
    detail = f"refused: {', '.join(refused)}" if refused else f"all {len(verdicts)} task models passed their gates"
    return Gate(name="tasks", passed=not refused, detail=detail)
