"""What the pipelines have in common: their parameters, and the groups of steps that they are made of.

Conditions and loops are limited to what both KFP's local runner and its clusters support: a condition on a single
unnamed output, and loops over non-empty lists of strings.
"""

from dataclasses import dataclass
from typing import Any

from kfp import dsl

from components.ablation_run import ablation_run
from components.compare import compare
from components.compare_artifacts import compare_artifacts
from components.evaluate import evaluate
from components.finetune import finetune
from components.gate import gate
from components.ingest import ingest
from components.load_backbone import load_backbone
from components.plan_run import plan_run
from components.preflight import preflight
from components.pretrain import pretrain
from components.promote import promote
from components.quality import quality
from components.register import register
from components.report import report
from components.tokenizer import tokenizer
from labram.errors import RecipeError
from labram.recipe import Recipe
from labram.steps.plan_run import Decision
from labram.steps.table import steps_of
from labram.tracking import lineage
from pipelines.placement import CLUSTER, Placement, parallelism, sizes


def arguments(recipe: Recipe, *, data: str, workspace: str, force: bool) -> dict[str, object]:
    """Return the arguments that every pipeline has, those of `pipelines.placement.CLUSTER` included.

    The parameters are the sections of a recipe, so that KFP's cache key of a task holds exactly what it depends on.

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
        "subject": recipe.corpus.subject,
        "preprocessing": recipe.preprocessing.to_json(),
        "quality_thresholds": recipe.quality.to_json(),
        "split": recipe.split.to_json(),
        "label_sources": {task.name: task.dataset for task in recipe.tasks},
        "seed": recipe.seed,
        **CLUSTER,
    }


def pretraining_arguments(recipe: Recipe) -> dict[str, object]:
    """Return the arguments of pipelines that train a tokenizer and a backbone."""
    return {
        "architecture": recipe.architecture.to_json(),
        "tokenizer_settings": recipe.tokenizer.to_json(),
        "pretraining_settings": recipe.pretraining.to_json(),
    }


def finetuning_arguments(recipe: Recipe) -> dict[str, object]:
    """Return the arguments of pipelines that fine-tune on the recipe's tasks.

    Raises:
        RecipeError: If the recipe has no tasks.
    """
    if not recipe.tasks:
        raise RecipeError(
            "the recipe has no tasks, and this pipeline fine-tunes on tasks",
            file=recipe.name,
            field="tasks",
            remedy="Add a task, or use the pipeline `pretrain_only`, which ends with the backbone",
        )
    return {"tasks": [task.to_json() for task in recipe.tasks], "gates": recipe.gates.to_json()}


@dataclass(frozen=True)
class FineTuned:
    """Outputs of a loop of fine-tunings: one model and one evaluation for each iteration."""

    model: Any
    evaluation: Any

    def models(self) -> dsl.Collected:
        """Return the models of all iterations; KFP allows one consumer for each `Collected`."""
        return dsl.Collected(self.model)

    def evaluations(self) -> dsl.Collected:
        """Return the evaluations of all iterations, for one consumer."""
        return dsl.Collected(self.evaluation)


@dataclass(frozen=True)
class DagBuilder:
    """Adds steps to the pipeline that is being defined.

    Attributes:
        placement: Resources and storage of tasks.
        workspace: Folder that all tasks share.
        recipe: The whole recipe.
        seed: Seed of the run.
        plan: The task `plan_run`.
    """

    placement: Placement
    workspace: Any
    recipe: Any
    seed: Any
    plan: Any

    @classmethod
    def begin(
        cls,
        placement: Placement,
        pipeline: str,
        *,
        data: Any,
        workspace: Any,
        recipe: Any,
        force: Any,
        seed: Any,
        **start: Any,
    ) -> "DagBuilder":
        """Add `preflight` and `plan_run`, with which every pipeline begins.

        Args:
            placement: Resources and storage of tasks.
            pipeline: Name of the pipeline.
            data: Folder or URI of the corpus.
            workspace: Folder that all tasks share.
            recipe: The whole recipe.
            force: Run although nothing has changed.
            seed: Seed of the run.
            **start: `backbone`, in pipelines that start from an existing one; `original`, in a reproduction.
        """
        check = preflight(
            gpus=placement.gpus,
            accelerator=placement.accelerator,
            node_selector=placement.node_selector,
            tolerations=placement.tolerations,
            volume=placement.volume,
            requests=sizes().requests(*steps_of(pipeline)),
            commit=lineage.commit(),
        )
        plan = plan_run(data=data, workspace=workspace, recipe=recipe, force=force, pipeline=pipeline, **start)
        plan = placement(plan).after(placement(check))
        return cls(placement, workspace, recipe, seed, plan)

    @property
    def corpus_version(self) -> Any:
        """Version of the corpus."""
        return self.plan.outputs["corpus_version"]

    @property
    def start(self) -> Any:
        """Address and digest of the backbone that the pipeline starts from."""
        return self.plan.outputs["start"]

    def if_changed(self) -> dsl.If:
        """Open the branch that runs only if corpus, recipe, code or backbone has changed."""
        return dsl.If(self.plan.outputs["Output"] == Decision.CHANGED.value, name=Decision.CHANGED.value)

    def add_ingest(self, *, data: Any, shards: Any, datasets: Any, subject: Any, preprocessing: Any) -> Any:
        """Add one `ingest` task for each shard; return their parts of the catalogue."""
        with dsl.ParallelFor(shards, name="shards", parallelism=parallelism()) as shard:
            task = ingest(
                data=data,
                workspace=self.workspace,
                corpus_version=self.corpus_version,
                shard=shard,
                datasets=datasets,
                subject=subject,
                preprocessing=preprocessing,
            )
            part = self.placement(task).outputs["part"]
        return dsl.Collected(part)

    def add_quality(self, parts: Any, *, label_sources: Any, thresholds: Any, split: Any) -> Any:
        """Add `quality`; return the corpus with verdicts and splits."""
        task = quality(
            workspace=self.workspace,
            parts=parts,
            label_sources=label_sources,
            thresholds=thresholds,
            split=split,
            seed=self.seed,
        )
        return self.placement(task).outputs["corpus"]

    def add_pretraining(
        self, corpus: Any, *, architecture: Any, tokenizer_settings: Any, pretraining_settings: Any
    ) -> tuple[Any, Any]:
        """Add `tokenizer` and `pretrain`; return the tokenizer and the backbone."""
        shared = {"workspace": self.workspace, "corpus": corpus, "architecture": architecture, "seed": self.seed}
        trained = self.placement(tokenizer(settings=tokenizer_settings, **shared)).outputs["model"]
        backbone = self.placement(pretrain(tokenizer=trained, settings=pretraining_settings, **shared))
        return trained, backbone.outputs["model"]

    def add_load_backbone(self) -> Any:
        """Add `load_backbone`; return the backbone that the pipeline starts from."""
        return self.placement(load_backbone(workspace=self.workspace, start=self.start)).outputs["model"]

    def add_finetuning(
        self, corpus: Any, backbone: Any, *, task: Any, gates: Any, seed: Any, **label: Any
    ) -> FineTuned:
        """Add `finetune` and `evaluate` to a loop; `label` distinguishes iterations of one task."""
        shared = {"workspace": self.workspace, "corpus": corpus, "task": task, "seed": seed, **label}
        model = self.placement(finetune(backbone=backbone, **shared)).outputs["model"]
        # Runs of a study compare variants: their backbones are not probed.
        probed = {} if label else {"backbone": backbone}
        scores = evaluate(model=model, corpus_version=self.corpus_version, gates=gates, **probed, **shared)
        return FineTuned(model, self.placement(scores).outputs["evaluation"])

    def add_ablation_run(self, corpus: Any, backbone: Any, *, settings: Any, gates: Any) -> FineTuned:
        """Add `ablation_run`, `finetune` and `evaluate` to a loop over the runs of a study."""
        task = ablation_run(workspace=self.workspace, corpus=corpus, backbone=backbone, settings=settings)
        outputs = self.placement(task).outputs
        return self.add_finetuning(
            outputs["part"],
            outputs["model"],
            task=outputs["task"],
            gates=gates,
            seed=outputs["run_seed"],
            label=outputs["label"],
        )

    def add_comparison(self, corpus: Any, finetuned: FineTuned) -> None:
        """Add `compare`, with which a study ends."""
        task = compare(
            workspace=self.workspace,
            corpus_version=self.corpus_version,
            recipe=self.recipe,
            corpus=corpus,
            start=self.start,
            evaluations=finetuned.evaluations(),
        )
        self.placement(task)

    def add_artifact_comparison(
        self, corpus: Any, *, original: Any, tokenizer: Any, backbone: Any, finetuned: FineTuned
    ) -> None:
        """Add `compare_artifacts`, with which a reproduction ends."""
        task = compare_artifacts(
            workspace=self.workspace,
            recipe=self.recipe,
            original=original,
            corpus=corpus,
            tokenizer=tokenizer,
            backbone=backbone,
            models=finetuned.models(),
            evaluations=finetuned.evaluations(),
        )
        self.placement(task)

    def add_promotion(
        self, corpus: Any, *, finetuned: FineTuned | None = None, start: Any = None, **models: Any
    ) -> None:
        """Add `register`, `gate`, `promote` and `report`.

        Args:
            corpus: The corpus with verdicts and splits.
            finetuned: Task models and evaluations, if the run has any.
            start: Address and digest of the backbone, if the run started from one.
            **models: `tokenizer` and `backbone`, if the run trained them.
        """
        shared = {"workspace": self.workspace, "recipe": self.recipe, "corpus": corpus, **models}
        origin = {"corpus_version": self.corpus_version} | ({"start": start} if start else {})

        def evaluations() -> dict[str, Any]:
            return {"evaluations": finetuned.evaluations()} if finetuned else {}

        task_models = {"models": finetuned.models()} if finetuned else {}
        registered = self.placement(register(**shared, **origin, **task_models, **evaluations()))
        versions = registered.outputs["versions"]
        verdicts = self.placement(gate(**shared, **evaluations(), versions=versions)).outputs["verdicts"]
        promoted = self.placement(promote(workspace=self.workspace, versions=versions, verdicts=verdicts))
        outcome = {"verdicts": verdicts, "promotions": promoted.outputs["promotions"]}
        self.placement(report(**shared, **origin, **evaluations(), **outcome))
