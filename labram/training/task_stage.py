"""Training stage `finetune`: learn a labelled task from a pre-trained backbone (paper, section 3.2)."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from labram.corpus.catalogue import Corpus
from labram.errors import RecipeError, TrainingError
from labram.models import weights
from labram.models.downstream import DownstreamModel
from labram.models.loading import LoadReport
from labram.models.low_rank import add_low_rank_updates, merge_low_rank_updates
from labram.recipe import TaskRecipe
from labram.store.store import Store
from labram.training import device as devices
from labram.training.checkpoints import Checkpoints
from labram.training.closed_form_head import fit_head
from labram.training.data.labelled import LabelledWindows, ShuffledWindows, no_training_windows
from labram.training.distributed.process_group import ProcessGroup
from labram.training.loop import fit
from labram.training.notify import warn_user
from labram.training.objectives.task_objective import TaskObjective
from labram.training.optimiser import parameter_groups
from labram.training.plan import task_plan
from labram.training.probe_stage import train_probe
from labram.training.stage_run import StageRun
from labram.training.task_metadata import TaskMetadata

MIN_TARGET_SD = 1e-8


def train_task_model(corpus: Corpus, store: Store, backbone: Path, task: TaskRecipe, run: StageRun) -> dict[str, float]:
    """Adapt a backbone to a task on the train split of its dataset, with the recipe's strategy.

    A probe is fitted to the training and validation subjects (see `labram.training.probe_stage`). Otherwise the weights
    of the best epoch by the task's validation metric are kept, or those of the last epoch if there are no validation
    subjects; for ``two-stage`` those of the closed-form head, which is epoch 0, compete. The model of ``lora`` is
    written as a plain one, with its updates merged.

    Args:
        corpus: Catalogue and labels.
        store: Patch store.
        backbone: Folder of the pre-trained model.
        task: Task and training settings.
        run: Seed, folders and monitor.

    Returns:
        Validation metrics of the kept epoch, with `steps`, `skipped_steps` and the numbers of parameters.

    Raises:
        LabelError: If the training subjects have no labelled windows, or labels that do not fit the task.
        RecipeError: If the rank of ``lora`` is not less than the width.
        WeightsError: If `backbone` does not hold a pre-trained backbone.
        CheckpointError: If the checkpoints belong to another training.
        TrainingError: If the loss diverged, or if a step has fewer windows than there are processes.
    """
    strategy = task.adaptation.strategy
    if strategy == "probe":
        return train_probe(corpus, store, backbone, task, run)
    windows = _training_windows(corpus, store, task)
    held_out = LabelledWindows.load(corpus, store, task, "validation")
    if windows.excluded or held_out.excluded:
        run.monitor.note(
            f"quality.max_window_uv excludes {windows.excluded} training and {held_out.excluded} validation windows"
        )
    validation = list(held_out.batches(task.batch))
    if not validation:
        warn_user(
            run.monitor, f"no validation subject has windows of {task.name}: keeping the last epoch, not the best"
        )
    with run.initial_weights_seeded():
        model, report = _initial_model(backbone, task)
    devices.prepare_model(model)
    metadata, batches = _metadata(task, windows), _shuffled(windows, task, run.seed)
    numbers = _counted(model)
    run.monitor.note(f"{numbers['trained_parameters']:.0f} weights are trained, {numbers['frozen_parameters']:.0f} not")
    result = fit(
        _objective(model, task, windows.y, metadata),
        batches,
        validation,
        task_plan(task, batches.steps_per_epoch, run.seed, select=bool(validation)),
        groups=_rates(model, task),
        checkpoints=Checkpoints(run.checkpoints),
        identity=run.identity(corpus, {"backbone": weights.digest(backbone)}, task=task),
        monitor=run.monitor,
        initialise=(lambda: fit_head(model, windows, metadata)) if strategy == "two-stage" else None,
        allow=run.allow,
    )
    if strategy == "lora":
        merge_low_rank_updates(model)
    metrics = run.write_model(model, result)
    run.write_task(metadata, report)
    return metrics | numbers


def _initial_model(backbone: Path, task: TaskRecipe) -> tuple[DownstreamModel, LoadReport]:
    """Return the backbone with a new head; for ``lora`` with updates, and nothing else of the encoder trainable."""
    adaptation = task.adaptation
    model, report = weights.backbone_to_downstream(
        backbone, task.outputs, drop_path=task.drop_path, pooling=adaptation.head
    )
    if adaptation.strategy == "lora":
        if adaptation.rank >= model.config.width:
            raise RecipeError(
                f"a rank of {adaptation.rank} is not less than the width {model.config.width}",
                field=f"tasks.{task.name}.adaptation.rank",
                remedy="Set it to a smaller number, such as 8",
            )
        expected = add_low_rank_updates(model, adaptation.rank)
        trained = sum(weight.numel() for weight in model.encoder.parameters() if weight.requires_grad)
        assert trained == expected, "only the updates of the encoder are trained"
    return model, report


def _counted(model: DownstreamModel) -> dict[str, float]:
    """Return the numbers of weights that are trained and that are not."""
    counts = {"trained_parameters": 0.0, "frozen_parameters": 0.0}
    for weight in model.parameters():
        counts["trained_parameters" if weight.requires_grad else "frozen_parameters"] += weight.numel()
    return counts


def _rates(model: DownstreamModel, task: TaskRecipe) -> list[dict[str, Any]]:
    return parameter_groups(
        model,
        task.optimiser.weight_decay,
        layer_ids=model.layer_ids(),
        layer_decay=task.layer_decay,
        encoder_rate=task.adaptation.encoder_rate if task.adaptation.strategy == "two-stage" else 1.0,
    )


def _training_windows(corpus: Corpus, store: Store, task: TaskRecipe) -> LabelledWindows:
    windows = LabelledWindows.load(corpus, store, task, "train", overlap=task.overlap)
    if not len(windows):
        raise no_training_windows(task)
    return windows


def _shuffled(windows: LabelledWindows, task: TaskRecipe, seed: int) -> ShuffledWindows:
    batches, world_size = ShuffledWindows(windows, task.batch, seed), ProcessGroup.current().world_size
    if batches.min_step_size < world_size:
        raise TrainingError(
            f"a step of {batches.min_step_size} windows cannot be divided among {world_size} processes",
            field=f"tasks.{task.name}.batch",
            remedy="Set it to a larger number, or train in fewer processes",
        )
    return batches


def _metadata(task: TaskRecipe, windows: LabelledWindows) -> TaskMetadata:
    if task.kind != "regression":
        return TaskMetadata(recipe=task, montages=windows.montages)
    sd = np.maximum(windows.y.std(axis=0), MIN_TARGET_SD)
    mean = windows.y.mean(axis=0)
    return TaskMetadata(
        recipe=task, target_mean=tuple(mean.tolist()), target_sd=tuple(sd.tolist()), montages=windows.montages
    )


def _objective(
    model: DownstreamModel, task: TaskRecipe, y: npt.NDArray[np.float64], metadata: TaskMetadata
) -> TaskObjective:
    weighted = task.class_weights and task.kind != "regression"
    return TaskObjective(
        model,
        task.kind,
        label_smoothing=task.label_smoothing,
        class_weights=_class_weights(y, len(task.classes)) if weighted else None,
        target_mean=metadata.target_mean,
        target_sd=metadata.target_sd,
        augment=task.augment,
    )


def _class_weights(y: npt.NDArray[np.float64], classes: int) -> npt.NDArray[np.float64]:
    """Return inverse class frequencies, scaled to a mean of 1 over windows; 0 for absent classes."""
    counts = np.bincount(y.astype(np.int64), minlength=classes)
    return np.where(counts > 0, len(y) / (np.count_nonzero(counts) * np.maximum(counts, 1)), 0.0)
