"""The three stages of training: tokenizer, pre-training, fine-tuning. Each leaves a folder that stands for itself.

``out/`` holds ``model.safetensors``, ``config.json``, ``history.jsonl`` and ``resumed.json`` (the steps after which the
training went on from a checkpoint); a tokenizer also ``codebook.json`` and ``examples.npz``, a task model ``task.json``
and ``load_report.json``. Where several processes train together
(`labram.training.distributed.process_group`), the first of them writes.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from labram.corpus.catalogue import Corpus, Split
from labram.errors import CorpusError, LabelError, TrainingError, WeightsError
from labram.events import Monitor
from labram.frozen_model import FrozenModel
from labram.jsonl import write_rows
from labram.models import weights
from labram.models.config import BackboneConfig, TokenizerConfig
from labram.models.downstream import DownstreamModel
from labram.models.masked import MaskedModel
from labram.models.official_layout import LabramModel
from labram.models.tokenizer import Tokenizer
from labram.recipe import ArchitectureRecipe, PretrainingRecipe, TaskRecipe, TokenizerRecipe, TrainingRecipe
from labram.store.store import Store
from labram.training import device as devices
from labram.training.checkpoints import HISTORY, Checkpoints
from labram.training.codebook import Watch, write_codebook, write_examples
from labram.training.data.codes import tokenize
from labram.training.data.labelled import LabelledWindows, Shuffled
from labram.training.data.windows import Span, WindowBatch, WindowSampler, catalogue_digest
from labram.training.distributed.fsdp import assembled, shard
from labram.training.distributed.process_group import Ranks
from labram.training.loop import Fitted, Plan, Selection, fit, tell
from labram.training.objectives import MaskedObjective, TaskObjective, TokenizerObjective
from labram.training.optimiser import parameter_groups
from labram.training.task_metadata import TaskFile

KMEANS_PATCHES_PER_CODE = 16
"""Patches that the codebook starts from: enough for every cluster to have members of several recordings."""
RESUMED = "resumed.json"
LOG_EVERY, CHECKPOINT_EVERY = 10, 200
"""Steps of fine-tuning; an epoch, where that is shorter."""
SMALLEST_SD = 1e-8


def train_tokenizer(
    corpus: Corpus,
    store: Store,
    architecture: ArchitectureRecipe,
    recipe: TokenizerRecipe,
    *,
    seed: int,
    checkpoints: Path,
    out: Path,
    monitor: Monitor,
    allow: bool = False,
) -> dict[str, float]:
    """Learn the codebook by predicting the spectrum of each patch (paper, section 2.2).

    Args:
        corpus: Catalogue; the train split is trained on, the validation split watched.
        store: Patches.
        architecture: Dimensions.
        recipe: Settings.
        seed: Of initial values and windows.
        checkpoints: Folder for checkpoints of this training alone; resumed from if it has any.
        out: Folder for the results.
        monitor: Is told how it goes.
        allow: Go on from checkpoints although corpus or recipe were others.

    Returns:
        Figures of the last validation, with `steps` and `skipped_steps`.

    Raises:
        CorpusError: If no recording belongs to the train split.
        CheckpointError: If the checkpoints belong to another training.
        TrainingError: If the loss was not finite three times running, or the codebook collapsed.
    """
    with _seeded(seed):
        model = devices.place(Tokenizer(tokenizer_config(architecture, recipe)))
    batches, validation = training_windows(corpus, store, recipe, seed, monitor)
    objective = TokenizerObjective(model, restart_every=recipe.restart_every)
    fitted = fit(
        objective,
        batches,
        validation,
        plan(recipe, seed),
        groups=parameter_groups(model, recipe.optimiser.weight_decay),
        checkpoints=Checkpoints(checkpoints),
        identity=_identity(corpus, seed, architecture=architecture, tokenizer=recipe),
        monitor=Watch(monitor, recipe.min_perplexity),
        allow=allow,
        start=lambda: objective.start(list(_first_windows(batches, KMEANS_PATCHES_PER_CODE * architecture.codes))),
    )
    _refuse_collapse(fitted.figures, recipe)
    if Ranks.here().first:
        write_codebook(model, validation, out)
        write_examples(model, validation, out)
    return _write(model, fitted, out)


def pretrain(
    corpus: Corpus,
    store: Store,
    tokenizer: Path,
    architecture: ArchitectureRecipe,
    recipe: PretrainingRecipe,
    *,
    seed: int,
    checkpoints: Path,
    out: Path,
    monitor: Monitor,
    allow: bool = False,
) -> dict[str, float]:
    """Learn to predict the codes of masked patches (paper, section 2.3).

    Args:
        corpus: Catalogue; the train split is trained on, the validation split watched.
        store: Patches.
        tokenizer: Folder of the tokenizer; it is not changed.
        architecture: Dimensions; the number of codes is the tokenizer's.
        recipe: Settings.
        seed: Of initial values, windows and masks.
        checkpoints: Folder for checkpoints of this training alone; resumed from if it has any.
        out: Folder for the results.
        monitor: Is told how it goes.
        allow: Go on from checkpoints although corpus or recipe were others.

    Returns:
        Figures of the last validation, with `steps` and `skipped_steps`.

    Raises:
        WeightsError: If `tokenizer` does not hold a tokenizer.
        CorpusError: If no recording belongs to the train split.
        CheckpointError: If the checkpoints belong to another training.
        TrainingError: If the loss was not finite three times running.
    """
    teacher = devices.place(load_tokenizer(tokenizer))
    with _seeded(seed):
        model = devices.place(MaskedModel(backbone_config(architecture, teacher.config.codes)))
    batches, validation = training_windows(corpus, store, recipe, seed, monitor)
    if recipe.stored_codes:
        batches = tokenize(batches, teacher.eval(), weights.digest(tokenizer), monitor)
    sharded = recipe.sharded and Ranks.here().world > 1
    if sharded:
        shard(model)
    fitted = fit(
        MaskedObjective(model, teacher, mask_ratio=recipe.mask_ratio, symmetric=recipe.symmetric),
        batches,
        validation,
        plan(recipe, seed),
        groups=parameter_groups(model, recipe.optimiser.weight_decay),
        checkpoints=Checkpoints(checkpoints),
        identity=_identity(
            corpus, seed, {"tokenizer": weights.digest(tokenizer)}, architecture=architecture, pretraining=recipe
        ),
        monitor=monitor,
        allow=allow,
    )
    return _write(assembled(model) if sharded else model, fitted, out)


def finetune(
    corpus: Corpus,
    store: Store,
    backbone: Path,
    task: TaskRecipe,
    *,
    seed: int,
    checkpoints: Path,
    out: Path,
    monitor: Monitor,
    allow: bool = False,
) -> dict[str, float]:
    """Learn a labelled task from a pre-trained backbone (paper, section 3.2).

    The epoch that is best on the validation subjects by the task's metric is kept; without validation subjects, the
    last.

    Args:
        corpus: Catalogue and labels.
        store: Patches.
        backbone: Folder of the pre-trained model.
        task: Settings.
        seed: Of the head, the order of windows and drop path.
        checkpoints: Folder for checkpoints of this training alone; resumed from if it has any.
        out: Folder for the results.
        monitor: Is told how it goes.
        allow: Go on from checkpoints although corpus or recipe were others.

    Returns:
        Validation figures of the epoch that was kept, with `steps` and `skipped_steps`.

    Raises:
        LabelError: If the training subjects have no labelled windows, or classes that do not fit the task.
        WeightsError: If `backbone` does not hold a pre-trained backbone.
        CheckpointError: If the checkpoints belong to another training.
        TrainingError: If the loss was not finite three times running.
    """
    windows = _labelled(corpus, store, task)
    validation = list(LabelledWindows.load(corpus, store, task, "validation").batches(task.batch))
    if not validation:
        tell(monitor, f"no validation subject has windows of {task.name}: the last epoch is kept, not the best")
    with _seeded(seed):
        model, report = weights.backbone_to_downstream(backbone, task.outputs, drop_path=task.drop_path)
    devices.place(model)
    about = _task_file(task, windows)
    batches = Shuffled(windows, task.batch, seed)
    if batches.smallest < Ranks.here().world:
        raise TrainingError(
            f"steps of {batches.smallest} windows cannot be shared out to {Ranks.here().world} processes",
            field=f"tasks.{task.name}.batch",
            remedy="Set it to a larger number, or train in fewer processes",
        )
    ids = model.layer_ids()
    fitted = fit(
        _task_objective(model, task, windows.y, about),
        batches,
        validation,
        _task_plan(task, batches.steps_per_epoch, seed, select=bool(validation)),
        groups=parameter_groups(model, task.optimiser.weight_decay, layer_ids=ids, layer_decay=task.layer_decay),
        checkpoints=Checkpoints(checkpoints),
        identity=_identity(corpus, seed, {"backbone": weights.digest(backbone)}, task=task),
        monitor=monitor,
        allow=allow,
    )
    figures = _write(model, fitted, out)
    if Ranks.here().first:
        about.write(out)
        (out / "load_report.json").write_text(json.dumps(report.to_json(), indent=2) + "\n")
    return figures


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Initial values are drawn from the run's seed, on the CPU; the caller's random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def tokenizer_config(architecture: ArchitectureRecipe, recipe: TokenizerRecipe) -> TokenizerConfig:
    """The tokenizer of a recipe."""
    encoder = architecture.tokenizer or architecture
    return TokenizerConfig(
        width=encoder.width,
        conv_channels=encoder.conv_channels,
        depth=encoder.depth,
        heads=encoder.heads,
        codes=architecture.codes,
        decoder_depth=architecture.decoder_depth,
        code_width=architecture.code_width,
        ema_decay=recipe.ema_decay,
    )


def backbone_config(architecture: ArchitectureRecipe, codes: int) -> BackboneConfig:
    """The backbone of a recipe, for a codebook of some size."""
    return BackboneConfig(
        width=architecture.width,
        conv_channels=architecture.conv_channels,
        depth=architecture.depth,
        heads=architecture.heads,
        codes=codes,
        layer_scale=architecture.layer_scale,
    )


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer in a folder.

    Raises:
        WeightsError: If there is none.
    """
    model = weights.load(folder)
    if not isinstance(model, Tokenizer):
        raise WeightsError(
            "these are not the weights of a tokenizer",
            file=folder,
            remedy="Name the folder that the tokenizer step wrote",
        )
    return model


def training_windows(
    corpus: Corpus, store: Store, recipe: TrainingRecipe, seed: int, monitor: Monitor
) -> tuple[WindowSampler, list[WindowBatch]]:
    """Training windows, and fixed validation windows of other subjects; without such, of the recordings' ends.

    Raises:
        CorpusError: If the split has no recordings, or they are too short.
        TrainingError: If the micro-batches of a step cannot be shared out to the processes that there are.
    """
    world = Ranks.here().world
    if recipe.micro_batches % world:
        raise TrainingError(
            f"{recipe.micro_batches} micro-batches of a step cannot be shared out evenly to {world} processes",
            field="micro_batches",
            remedy="Set it to a multiple of the number of processes",
        )

    def sampler(split: Split, span: Span = "all") -> WindowSampler:
        return WindowSampler.of(
            corpus,
            store,
            split=split,
            seed=seed,
            patches=recipe.patches,
            micro_batches=recipe.micro_batches,
            window_patches=recipe.window_patches,
            window_seconds=recipe.window_seconds,
            temperature=recipe.temperature,
            shortest=recipe.shortest_window_seconds,
            span=span,
        )

    if not corpus.accepted("validation").empty:
        return sampler("train"), sampler("validation").fixed(recipe.validation_batches)
    tell(monitor, "there are no validation subjects: validation uses the last tenth of the training recordings")
    try:
        return sampler("train", "beginning"), sampler("train", "end").fixed(recipe.validation_batches)
    except CorpusError:
        raise CorpusError(
            "the training recordings are too short to keep a tenth of them for validation",
            remedy="Add subjects, so that some can be kept for validation",
        ) from None


def _first_windows(batches: WindowSampler, patches: int) -> Iterator[WindowBatch]:
    """Windows of the first steps, until there are enough patches."""
    step = 0
    while patches > 0:
        for batch in batches.batch(step):
            patches -= batch.weight
            yield batch
        step += 1


def _labelled(corpus: Corpus, store: Store, task: TaskRecipe) -> LabelledWindows:
    windows = LabelledWindows.load(corpus, store, task, "train")
    if not len(windows):
        raise LabelError(
            f"no training subject of {task.dataset} has a labelled window of {task.seconds} s",
            field=f"tasks.{task.name}",
            remedy="Check the dataset's labels, or shorten the task's windows",
        )
    return windows


def _task_file(task: TaskRecipe, windows: LabelledWindows) -> TaskFile:
    if task.kind != "regression":
        return TaskFile(recipe=task, montages=windows.montages)
    sd = np.maximum(windows.y.std(axis=0), SMALLEST_SD)
    mean = windows.y.mean(axis=0)
    return TaskFile(
        recipe=task, target_mean=tuple(mean.tolist()), target_sd=tuple(sd.tolist()), montages=windows.montages
    )


def _task_objective(
    model: DownstreamModel, task: TaskRecipe, y: npt.NDArray[np.float64], about: TaskFile
) -> TaskObjective:
    balanced = task.class_weights and task.kind != "regression"
    return TaskObjective(
        model,
        task.kind,
        label_smoothing=task.label_smoothing,
        class_weights=_class_weights(y, len(task.classes)) if balanced else None,
        target_mean=about.target_mean,
        target_sd=about.target_sd,
        augment=task.augment,
    )


def _class_weights(y: npt.NDArray[np.float64], classes: int) -> npt.NDArray[np.float64]:
    """Inverse frequencies, so that the classes that occur count the same and the mean over windows is 1."""
    counts = np.bincount(y.astype(np.int64), minlength=classes)
    return np.where(counts > 0, len(y) / (np.count_nonzero(counts) * np.maximum(counts, 1)), 0.0)


def plan(recipe: TrainingRecipe, seed: int) -> Plan:
    """How a stage of self-supervised training goes."""
    return Plan(
        steps=recipe.steps,
        warmup_steps=recipe.warmup_steps,
        optimiser=recipe.optimiser,
        seed=seed,
        log_every=recipe.log_every,
        validate_every=recipe.validate_every,
        checkpoint_every=recipe.checkpoint_every,
        threads=recipe.threads,
    )


def _task_plan(task: TaskRecipe, steps_per_epoch: int, seed: int, *, select: bool) -> Plan:
    return Plan(
        steps=task.epochs * steps_per_epoch,
        warmup_steps=round(task.warmup_epochs * steps_per_epoch),
        optimiser=task.optimiser,
        seed=seed,
        log_every=min(LOG_EVERY, steps_per_epoch),
        validate_every=steps_per_epoch,
        checkpoint_every=min(CHECKPOINT_EVERY, steps_per_epoch),
        threads=task.threads,
        unit="windows",
        selection=Selection(task.metric, task.patience) if select else None,
    )


def _identity(
    corpus: Corpus, seed: int, digests: Mapping[str, str] | None = None, **sections: FrozenModel
) -> dict[str, Any]:
    """All that a training's result depends on, for its checkpoints; who holds which weights is not part of it."""
    settings = {name: section.model_dump(mode="json", exclude={"sharded"}) for name, section in sections.items()}
    return {"corpus": catalogue_digest(corpus), "seed": seed, **(digests or {}), **settings}


def _refuse_collapse(figures: Mapping[str, float], recipe: TokenizerRecipe) -> None:
    if figures["perplexity"] < recipe.min_perplexity:
        raise TrainingError(
            f"the codebook has collapsed: its perplexity is {figures['perplexity']:.2f} and "
            f"{figures['used_codes']:.0f} codes are used, {recipe.min_perplexity:g} is the least allowed",
            field="tokenizer.min_perplexity",
            remedy="Train on more recordings, use fewer architecture.codes, or lower tokenizer.optimiser.peak_lr",
        )


def _write(model: LabramModel, fitted: Fitted, out: Path) -> dict[str, float]:
    if Ranks.here().first:
        weights.save(model, out)
        write_rows(out / HISTORY, fitted.history)
        (out / RESUMED).write_text(json.dumps(fitted.resumed) + "\n")
    return fitted.figures | {"steps": float(fitted.step), "skipped_steps": float(fitted.skipped_steps)}
