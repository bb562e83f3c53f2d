"""What several pipelines have in common: their arguments, and the runs of steps that they are made of.

Conditions and loops stay with what KFP's local runner and its clusters both do: a condition on a single unnamed output,
loops over strings, none of them empty.
"""

from dataclasses import dataclass
from typing import Any

from kfp import dsl

from components.evaluate import evaluate
from components.finetune import finetune
from components.gate import gate
from components.ingest import ingest
from components.obtain import obtain
from components.pretrain import pretrain
from components.promote import promote
from components.quality import quality
from components.refused import refused
from components.register import register
from components.report import report
from components.resolve import resolve
from components.tokenizer import tokenizer
from labram.errors import RecipeError
from labram.recipe import Recipe
from pipelines.placement import CLUSTER, Placement

CHANGED, REFUSED = "changed", "refused"


def arguments(recipe: Recipe, *, data: str, workspace: str, force: bool) -> dict[str, object]:
    """The arguments that every pipeline has, with those of `pipelines.placement.CLUSTER`.

    The parameters are the sections of a recipe, so that KFP's cache sees exactly what each task depends on.

    Args:
        recipe: The resolved recipe.
        data: Folder or URI of the corpus.
        workspace: Folder that all tasks share.
        force: Run although neither corpus, recipe nor code has changed.
    """
    shards = recipe.corpus.shards
    return {
        "data": data,
        "workspace": workspace,
        "recipe": recipe.to_json(),
        "force": force,
        "shards": [f"{shard}/{shards}" for shard in range(shards)],
        "datasets": list(recipe.corpus.datasets),
        "preprocessing": recipe.preprocessing.to_json(),
        "quality_thresholds": recipe.quality.to_json(),
        "split": recipe.split.to_json(),
        "label_sources": {task.name: task.dataset for task in recipe.tasks},
        "seed": recipe.seed,
        **CLUSTER,
    }


def learning(recipe: Recipe) -> dict[str, object]:
    """The arguments of pipelines that learn without labels."""
    return {
        "architecture": recipe.architecture.to_json(),
        "tokenizer_settings": recipe.tokenizer.to_json(),
        "pretraining_settings": recipe.pretraining.to_json(),
    }


def labelled(recipe: Recipe) -> dict[str, object]:
    """The arguments of pipelines that fine-tune.

    Raises:
        RecipeError: If the recipe has no tasks.
    """
    if not recipe.tasks:
        raise RecipeError(
            "it has no tasks, and this pipeline fine-tunes for them",
            file=recipe.name,
            field="tasks",
            remedy="Name a task, or take the pipeline `unlabelled`, which ends with the backbone",
        )
    return {"tasks": [task.to_json() for task in recipe.tasks], "gates": recipe.gates.to_json()}


@dataclass(frozen=True)
class Tuned:
    """The fine-tuned models and their evaluations, one a turn of the loop."""

    model: Any
    evaluation: Any

    def models(self) -> dsl.Collected:
        """For one consumer, which is all that a `Collected` serves."""
        return dsl.Collected(self.model)

    def evaluations(self) -> dsl.Collected:
        """Likewise."""
        return dsl.Collected(self.evaluation)


@dataclass(frozen=True)
class Stages:
    """Adds steps to the pipeline that is being defined; made of parameters of the pipeline, and of what it resolved.

    Attributes:
        place: Says where tasks run.
        workspace: Folder that all tasks share.
        recipe: The whole recipe.
        seed: Of the run.
        plan: The task `resolve`.
    """

    place: Placement
    workspace: Any
    recipe: Any
    seed: Any
    plan: Any

    @classmethod
    def resolved(
        cls,
        place: Placement,
        pipeline: str,
        *,
        data: Any,
        workspace: Any,
        recipe: Any,
        force: Any,
        seed: Any,
        **start: Any,
    ) -> "Stages":
        """The beginning of every pipeline: is everything there, and is there anything to do?

        Args:
            place: Says where tasks run.
            pipeline: Its name.
            data: Folder or URI of the corpus.
            workspace: Folder that all tasks share.
            recipe: The whole recipe.
            force: Run although nothing has changed.
            seed: Of the run.
            **start: `backbone`, where the pipeline starts from one.
        """
        task = resolve(data=data, workspace=workspace, recipe=recipe, force=force, pipeline=pipeline, **start)
        return cls(place, workspace, recipe, seed, place(task).after(place.preflight()))

    @property
    def version(self) -> Any:
        """Of the corpus."""
        return self.plan.outputs["corpus_version"]

    @property
    def start(self) -> Any:
        """Address and digest of the backbone that the pipeline starts from."""
        return self.plan.outputs["start"]

    def changed(self) -> dsl.If:
        """What is below it runs only if there is something to do."""
        return dsl.If(self.plan.outputs["Output"] == CHANGED, name=CHANGED)

    def corpus(
        self,
        *,
        data: Any,
        shards: Any,
        datasets: Any,
        preprocessing: Any,
        label_sources: Any,
        thresholds: Any,
        split: Any,
    ) -> Any:
        """Ingest, shard by shard, and quality; gives the judged corpus."""
        with dsl.ParallelFor(shards, name="shards", parallelism=2) as shard:
            task = ingest(
                data=data,
                workspace=self.workspace,
                corpus_version=self.version,
                shard=shard,
                datasets=datasets,
                preprocessing=preprocessing,
            )
            ingested = self.place(task)
        task = quality(
            workspace=self.workspace,
            parts=dsl.Collected(ingested.outputs["part"]),
            label_sources=label_sources,
            thresholds=thresholds,
            split=split,
            seed=self.seed,
        )
        return self.place(task).outputs["corpus"]

    def pretrained(
        self, corpus: Any, *, architecture: Any, tokenizer_settings: Any, pretraining_settings: Any
    ) -> tuple[Any, Any]:
        """Tokenizer, and pre-training with its codes; gives the tokenizer and the backbone."""
        shared = {"workspace": self.workspace, "corpus": corpus, "architecture": architecture, "seed": self.seed}
        codes = self.place(tokenizer(settings=tokenizer_settings, **shared)).outputs["model"]
        trained = self.place(pretrain(tokenizer=codes, settings=pretraining_settings, **shared))
        return codes, trained.outputs["model"]

    def obtained(self) -> Any:
        """The backbone that the pipeline starts from."""
        return self.place(obtain(workspace=self.workspace, start=self.start)).outputs["model"]

    def tuned(self, corpus: Any, backbone: Any, *, task: Any, gates: Any, seed: Any, **label: Any) -> Tuned:
        """Fine-tuning and evaluation, within a loop; `label` tells turns apart that are of one task."""
        shared = {"workspace": self.workspace, "corpus": corpus, "task": task, "seed": seed, **label}
        model = self.place(finetune(backbone=backbone, **shared)).outputs["model"]
        scored = self.place(evaluate(model=model, corpus_version=self.version, gates=gates, **shared))
        return Tuned(model, scored.outputs["evaluation"])

    def concluded(self, corpus: Any, *, tuned: Tuned | None = None, start: Any = None, **made: Any) -> None:
        """Register, gate, promote and report; and if a gate refused, a task whose presence says so.

        Args:
            corpus: The judged corpus.
            tuned: Task models, if the run has made any.
            start: Address and digest of the backbone, if the run started from one.
            **made: `tokenizer` and `backbone`, if the run has made them.
        """
        shared = {"workspace": self.workspace, "recipe": self.recipe, "corpus": corpus, **made}
        origin = {"corpus_version": self.version} | ({"start": start} if start else {})

        def evaluations() -> dict[str, Any]:
            return {"evaluations": tuned.evaluations()} if tuned else {}

        models = {"models": tuned.models()} if tuned else {}
        versions = self.place(register(**shared, **origin, **models, **evaluations())).outputs["versions"]
        verdicts = self.place(gate(**shared, **evaluations(), versions=versions)).outputs["verdicts"]
        moves = self.place(promote(workspace=self.workspace, versions=versions, verdicts=verdicts))
        outcome = {"verdicts": verdicts, "promotions": moves.outputs["promotions"]}
        done = self.place(report(**shared, **origin, **evaluations(), **outcome))
        with dsl.If(done.outputs["Output"] == REFUSED, name=REFUSED):
            self.place(refused(verdicts=verdicts))
