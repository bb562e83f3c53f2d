"""The settings of a run: frozen pydantic models, one for each section of a recipe."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

import yaml
from pydantic import AliasChoices, Field, field_validator, model_validator

from labram import metrics
from labram.errors import RecipeError
from labram.frozen_model import FrozenModel
from labram.input_spec import MAX_PATCHES, MAX_SECONDS
from labram.metrics import Kind
from labram.recipe.adaptation import AdaptationRecipe
from labram.recipe.alignment import REST, AlignmentRecipe
from labram.recipe.gates import GateRecipe
from labram.recipe.operating_point import OperatingPointRecipe
from labram.recipe.split import Fraction, Positive, SplitRecipe
from labram.recipe.study import StudyRecipe
from labram.recipe.validation_probe import ValidationProbeRecipe

PositiveFloat = Annotated[float, Field(gt=0.0)]
LinearName = Literal["spectral", "riemann", "riemann-bands"]
NetworkName = Literal["eegnet", "shallow-fbcsp"]
BaselineName = LinearName | NetworkName
CHECKPOINT_MINUTES = 10.0
RUN_FILE = "recipe.yaml"
"""File with the resolved recipe in the folder of a run."""
MODEL_FILE = "recipe.json"
"""File with the recipe in the folder of a registered model."""


def _metrics_by_kind() -> str:
    return "; ".join(f"{kind}: {', '.join(metrics.of_kind(kind))}" for kind in get_args(Kind)) + "."


class CorpusRecipe(FrozenModel):
    """Recordings to use."""

    datasets: tuple[str, ...] = Field(
        default=(), description="Dataset adapters to use; empty: every adapter that recognises a sub-folder."
    )
    subject: str = Field(
        default="",
        description="Regular expression with the named groups subject and, optionally, session, searched in the path "
        "of each recording relative to --data, for recordings whose dataset does not state the subject. Empty: "
        "subjects are guessed from names, and no task may be trained on them.",
    )
    shards: Positive = Field(default=2, description="Parallel ingest tasks.")

    @field_validator("subject")
    @classmethod
    def _has_groups(cls, pattern: str) -> str:
        example = r"such as (?P<subject>P\d+)/(?P<session>session\d+)/"
        try:
            groups = set(re.compile(pattern).groupindex)
        except re.error as error:
            raise ValueError(f"not a regular expression ({error}); write a pattern {example}") from None
        if pattern and "subject" not in groups:
            raise ValueError(f"the pattern has no group named 'subject'; write a pattern {example}")
        if unknown := groups - {"subject", "session"}:
            raise ValueError(f"the pattern has a group {min(unknown)!r}; name groups subject and session only")
        return pattern


class PreprocessingRecipe(FrozenModel):
    """Preprocessing of the paper (section 3.1): band-pass, notch at the line frequency, resampling to 200 Hz."""

    high_pass_hz: PositiveFloat = Field(default=0.1, description="Lower edge of the band-pass filter, in Hz.")
    low_pass_hz: PositiveFloat = Field(default=75.0, description="Upper edge of the band-pass filter, in Hz.")
    notch: bool = Field(default=True, description="Notch filter at the line frequency and its harmonics.")
    back_end: Literal["fused", "reference"] = Field(
        default="fused",
        description="fused: all filters in one pass, in little memory; reference: MNE's filters one after the other, "
        "as in the published scripts.",
    )
    compatibility: Literal["corrected", "published"] = Field(
        default="corrected",
        description="published: as the published scripts do, with a 50 Hz notch on every dataset, events at the edges "
        "of a recording wrapped around, and events on several channels repeated.",
    )


class QualityRecipe(FrozenModel):
    """Thresholds of the quality suite; docs/quality.md explains how they were chosen. Fractions are between 0 and 1."""

    min_seconds: PositiveFloat = Field(default=1.0, description="Shorter recordings are quarantined.")
    min_channels: Positive = Field(
        default=2, description="Recordings with fewer channels of known position are quarantined."
    )
    max_lost_fraction: Fraction = Field(
        default=0.7,
        description="Largest accepted fraction of channels that look like EEG and are no electrodes of the model.",
    )
    min_rate_hz: PositiveFloat = Field(
        default=80.0, description="Recordings with a lower sampling rate are quarantined."
    )
    flat_sd_uv: PositiveFloat = Field(
        default=0.1, description="A channel with a smaller SD after preprocessing is flat."
    )
    max_constant_fraction: Fraction = Field(
        default=0.5,
        validation_alias=AliasChoices("max_constant_fraction", "flat_seconds"),  # the key's name until version 0.1
        description="A channel is flat if it is constant for more than this fraction of the recording.",
    )
    max_flat_fraction: Fraction = Field(default=0.5, description="Largest accepted fraction of flat channels.")
    typical_rms_uv: PositiveFloat = Field(
        default=10.0,
        description="Typical RMS of EEG in 1-45 Hz. If multiplying by a power of 1000 brings a recording closer to it, "
        "the recording's unit is taken to be wrong by that factor.",
    )
    max_median_sd_uv: PositiveFloat = Field(default=200.0, description="Largest accepted median of the channels' SDs.")
    max_channel_sd_uv: PositiveFloat = Field(default=250.0, description="A channel with a larger SD is bad.")
    max_saturated: Fraction = Field(
        default=0.05, description="A channel that is at its extreme value for a larger fraction of samples is bad."
    )
    max_bad_fraction: Fraction = Field(default=0.3, description="Largest accepted fraction of bad channels.")
    bad_channels: Literal["interpolate", "keep"] = Field(
        default="interpolate",
        description="What windows have of the flat and bad channels of an accepted recording. interpolate: spherical "
        "splines of the other channels; keep: the channels as recorded.",
    )
    max_window_uv: PositiveFloat = Field(
        default=2000.0,
        description="Seconds with a larger absolute value, in a channel that is not interpolated, are in no window.",
    )
    max_excluded_fraction: Fraction = Field(
        default=0.5, description="Largest accepted fraction of seconds that max_window_uv excludes."
    )
    max_gap_seconds: PositiveFloat = Field(default=1.0, description="Longest accepted gap between samples.")
    max_psd_slope: float = Field(
        default=-0.3, description="Largest accepted 1/f slope of the spectrum: noise has a flatter one."
    )
    min_psd_slope: float = Field(
        default=-5.0, description="Smallest accepted 1/f slope: slow non-EEG signals have a steeper one."
    )
    min_spectral_flatness: Fraction = Field(
        default=0.05, description="Smallest accepted spectral flatness: a spectrum of lines has a smaller one."
    )
    max_held_fraction: Fraction = Field(
        default=0.5,
        description="Largest accepted fraction of samples that repeat the one before, as in triggers and upsampled "
        "signals.",
    )
    max_channel_correlation: Fraction = Field(
        default=0.995, description="Largest accepted correlation between channels: above, they carry one signal."
    )
    warn_line_noise_ratio: PositiveFloat = Field(
        default=0.5, description="Warning if line noise exceeds this ratio to the power in 1-45 Hz."
    )
    warn_psd_slope: float = Field(default=-0.6, description="Warning if the 1/f slope is flatter.")
    warn_dead_seconds: int = Field(
        default=0, ge=0, description="Warning if all channels are constant for longer, in seconds."
    )


class EncoderRecipe(FrozenModel):
    """Dimensions of a transformer over patches. Defaults: LaBraM-Base."""

    width: Positive = Field(default=200, description="Embedding dimension: 25 x conv_channels.")
    conv_channels: Positive = Field(
        default=8, description="Channels of the temporal convolution, a multiple of 4 (group normalisation)."
    )
    depth: Positive = Field(default=12, description="Transformer blocks of the encoder.")
    heads: Positive = Field(default=10, description="Attention heads; divides width.")

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.width != 25 * self.conv_channels:
            raise ValueError(f"width must be 25 x conv_channels = {25 * self.conv_channels}, not {self.width}")
        if self.conv_channels % 4:
            raise ValueError(f"conv_channels must be a multiple of 4 (norm groups), not {self.conv_channels}")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not divisible by heads {self.heads}")
        return self


class ArchitectureRecipe(EncoderRecipe):
    """Dimensions of backbone and tokenizer. Defaults: LaBraM-Base with the released tokenizer."""

    patch_embedding: Literal["temporal", "time-frequency"] = Field(
        default="temporal",
        description="temporal: as in the paper. time-frequency: plus each patch's log spectrum, for short trainings.",
    )
    layer_scale: float = Field(default=0.1, description="Initial value of layer scale.")
    tokenizer: EncoderRecipe | None = Field(
        default=None, description="Dimensions of the tokenizer's encoder; null: those of the backbone."
    )
    decoder_depth: Positive = Field(default=3, description="Transformer blocks of the tokenizer's decoder.")
    codes: Positive = Field(default=8192, description="Codebook size.")
    code_width: Positive = Field(default=64, description="Dimension of a code vector.")


class OptimiserRecipe(FrozenModel):
    """AdamW with linear warm-up and cosine decay (paper, tables 3 to 5)."""

    peak_lr: PositiveFloat = Field(default=5e-4, description="Learning rate after warm-up.")
    min_lr: float = Field(default=1e-5, ge=0.0, description="Learning rate at the end.")
    betas: tuple[float, float] = Field(default=(0.9, 0.98), description="AdamW's betas.")
    weight_decay: float = Field(default=0.05, ge=0.0, description="AdamW's weight decay; not for biases and norms.")
    clip_norm: float | None = Field(default=None, description="Largest global gradient norm; null: no clipping.")


class TrainingRecipe(FrozenModel):
    """One stage of self-supervised training."""

    steps: Positive = Field(description="Optimiser steps.")
    warmup_steps: int = Field(default=0, ge=0, description="Steps of linear warm-up.")
    micro_batches: Positive = Field(default=4, description="Micro-batches per step, each of one montage.")
    patches: Positive = Field(default=2048, description="Maximum number of patches in a micro-batch.")
    window_patches: Positive = Field(
        default=MAX_PATCHES, le=MAX_PATCHES, description="Maximum number of patches in a window."
    )
    temperature: float = Field(
        default=1.0,
        ge=0.0,
        le=1.0,
        description="Sampling of recordings. 1: in proportion to their duration; 0: every montage equally often.",
    )
    window_seconds: Positive = Field(default=MAX_SECONDS, le=MAX_SECONDS, description="Maximum duration of a window.")
    shortest_window_seconds: Positive | None = Field(
        default=None,
        le=MAX_SECONDS,
        description="Durations of windows are drawn between this and the longest that fits; null: always the longest.",
    )
    optimiser: OptimiserRecipe = OptimiserRecipe()
    log_every: Positive = Field(default=10, description="Steps between logged training metrics.")
    validate_every: Positive = Field(default=100, description="Steps between validations.")
    validation_batches: Positive = Field(default=4, description="Micro-batches of a validation.")
    checkpoint_every: Positive = Field(default=100, description="Steps between checkpoints.")
    checkpoint_every_minutes: PositiveFloat = Field(
        default=CHECKPOINT_MINUTES,
        description="Maximum minutes between checkpoints: what a training loses when its machine is taken away.",
    )
    threads: Positive = Field(
        default=2, description="CPU threads. A recipe setting because floating-point sums depend on it."
    )


class TokenizerRecipe(TrainingRecipe):
    """Training of the tokenizer: vector-quantised neural spectrum prediction (paper section 2.2)."""

    ema_decay: Fraction = Field(default=0.99, description="Decay of the codebook's moving averages.")
    restart_every: int = Field(
        default=0, ge=0, description="Steps between restarts of unused codes; 0: never, as published."
    )
    min_perplexity: float = Field(
        default=2.0,
        ge=1.0,
        description="The step fails if the codebook's perplexity is lower at the end: the codebook has collapsed.",
    )


class PretrainingRecipe(TrainingRecipe):
    """Pre-training of the backbone: masked prediction of codes (paper section 2.3)."""

    mask_ratio: Fraction = Field(default=0.5, description="Fraction of patches that are masked.")
    symmetric: bool = Field(default=True, description="Predict the complement of each mask too.")
    stored_codes: bool = Field(
        default=False,
        description="true: windows are cut consecutively from the start of each recording, and their codes are "
        "computed once and stored. false: windows start at any sample, and the tokenizer runs in every step.",
    )
    sharded: bool = Field(
        default=False,
        description="Shard weights, gradients and optimiser state over the processes (FSDP2) instead of replicating "
        "them. Changes memory and communication, not the result.",
    )

    probes: tuple[ValidationProbeRecipe, ...] = Field(
        default=(),
        description="Probes at every validation, on validation subjects, beside the same probes of the initial "
        "weights: whether the representation gains what the tasks need.",
    )
    probe_patience: int = Field(
        default=0,
        ge=0,
        description="Early stopping: validations without a better mean of the probes; the best weights are kept. "
        "0: probes are logged only.",
    )

    @model_validator(mode="after")
    def _probes(self) -> Self:
        names = [probe.task for probe in self.probes]
        if len(set(names)) < len(names):
            raise ValueError("probes: two have the same task")
        if self.probe_patience and not self.probes:
            raise ValueError("probe_patience needs probes")
        if self.probes and self.sharded:
            raise ValueError("probes need whole models: set sharded to false, or remove the probes")
        return self

    @model_validator(mode="after")
    def _whole_windows(self) -> Self:
        if self.stored_codes and self.shortest_window_seconds is not None:
            raise ValueError(
                "stored_codes needs windows of one duration: set shortest_window_seconds to null, "
                f"not {self.shortest_window_seconds}"
            )
        return self


class AugmentRecipe(FrozenModel):
    """Augmentation of training windows. None of it is in the paper."""

    shift: bool = Field(default=False, description="Rotate each window in time by a random number of samples.")
    flip: bool = Field(default=False, description="Reverse the polarity of half of the windows.")
    gain_sd: float = Field(default=0.0, ge=0.0, description="SD of the logarithm of each channel's gain.")
    noise: float = Field(default=0.0, ge=0.0, description="SD of added white noise, relative to each channel's SD.")
    band_noise: float = Field(
        default=0.0,
        ge=0.0,
        description="SD of added noise in a band of 4 Hz, another for each window, relative to each channel's SD.",
    )
    channel_dropout: Fraction = Field(default=0.0, description="Probability of a channel to be set to 0 in a window.")


class TaskRecipe(FrozenModel):
    """A labelled downstream task and the settings of fine-tuning."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_]*$", description="Name of the dataset's labels and of the registered model."
    )
    title: str = Field(description="Title in reports.")
    dataset: str = Field(description="Dataset adapter with the labels.")
    kind: Kind = Field(description="Kind of the labels.")
    classes: tuple[str, ...] = Field(
        default=(),
        description="Class names in the order of the label indices, or names of the regression targets. Must equal "
        "those that the dataset adapter declares.",
    )
    seconds: Positive = Field(default=4, le=MAX_SECONDS, description="Duration of a window.")
    alignment: AlignmentRecipe = AlignmentRecipe()
    adaptation: AdaptationRecipe = AdaptationRecipe()
    baselines: tuple[BaselineName, ...] = Field(
        default=("spectral", "riemann"),
        min_length=1,
        description="Models beside every score; the best of them is the baseline that a model must beat. spectral: log "
        "power, or canonical correlations; riemann: tangent space of covariances; riemann-bands: of five bands, and of "
        "1 Hz around `frequencies`; these are linear, and standardised or recentred within subjects if that is better. "
        "eegnet, shallow-fbcsp: EEGNet and ShallowFBCSPNet from scratch, in every fold; minutes on a CPU.",
    )
    frequencies: tuple[Annotated[float, Field(gt=0.5, lt=70.0)], ...] = Field(
        default=(),
        description="Frequencies of periodic stimulation in Hz, if any: the baseline can then use canonical "
        "correlations with them.",
    )
    metric: str = Field(description="Headline metric, for model selection and gates. " + _metrics_by_kind())
    operating_point: OperatingPointRecipe | None = Field(
        default=None, description="Threshold of decisions, for a binary task; not set: probabilities alone."
    )
    epochs: Positive = Field(default=20, description="Passes over the training windows.")
    batch: Positive = Field(default=32, description="Windows per step.")
    warmup_epochs: float = Field(default=2.0, ge=0.0, description="Epochs of linear warm-up.")
    optimiser: OptimiserRecipe = OptimiserRecipe(betas=(0.9, 0.999), min_lr=1e-6)
    layer_decay: float = Field(
        default=0.65, gt=0.0, le=1.0, description="Factor between the learning rates of successive layers."
    )
    drop_path: Fraction = Field(default=0.1, description="Stochastic depth of the last block.")
    label_smoothing: Fraction = Field(default=0.1, description="Label smoothing of multiclass tasks.")
    class_weights: bool = Field(
        default=True,
        description="Weight classes in the loss by inverse frequency. Not in the paper; small tasks are rarely "
        "balanced.",
    )
    augment: AugmentRecipe = AugmentRecipe()
    overlap: Fraction = Field(
        default=0.0,
        description="All but probe: share by which successive training windows overlap; those that are scored never "
        "do.",
    )
    weight_average: Fraction = Field(
        default=0.0,
        description="Decay, per step, of a moving average of the weights that is validated and kept instead of the "
        "weights themselves; 0: none.",
    )
    patience: Positive = Field(
        default=6, description="Early stopping: epochs without improvement of the validation metric."
    )
    threads: Positive = Field(default=1, description="CPU threads.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = metrics.of_kind(self.kind)
        if self.metric not in names:
            raise ValueError(f"metric of a {self.kind} task must be one of {', '.join(names)}, not {self.metric}")
        if self.alignment.source == "rest" and (self.kind == "regression" or REST not in self.classes):
            raise ValueError(
                f"alignment.source: rest needs a class named {REST!r}, not {', '.join(self.classes)}; choose "
                "unlabelled or all"
            )
        if len(set(self.baselines)) < len(self.baselines):
            raise ValueError("baselines: a name is repeated")
        if self.kind == "binary" and len(self.classes) != 2:
            raise ValueError(f"a binary task needs 2 classes, not {len(self.classes)}")
        if self.operating_point and self.kind != "binary":
            raise ValueError(f"operating_point: only for binary tasks, not for a {self.kind} task")
        if len(self.classes) < (fewest := {"binary": 2, "multiclass": 3, "regression": 1}[self.kind]):
            raise ValueError(f"a {self.kind} task needs at least {fewest} classes, not {len(self.classes)}")
        return self

    @property
    def outputs(self) -> int:
        """Number of outputs of the head: one logit for a binary task, else one per class or target."""
        return 1 if self.kind == "binary" else len(self.classes)


class Recipe(FrozenModel):
    """All settings of a run."""

    name: str = Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*$", description="Prefix of the names of runs and folders.")
    description: str = Field(description="One line for lists and reports.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Seed of all random numbers.")
    corpus: CorpusRecipe = CorpusRecipe()
    preprocessing: PreprocessingRecipe = PreprocessingRecipe()
    quality: QualityRecipe = QualityRecipe()
    split: SplitRecipe = SplitRecipe()
    architecture: ArchitectureRecipe = ArchitectureRecipe()
    tokenizer: TokenizerRecipe
    pretraining: PretrainingRecipe
    tasks: tuple[TaskRecipe, ...] = Field(default=(), description="Downstream tasks; none: pre-training only.")
    gates: GateRecipe = GateRecipe()
    study: StudyRecipe = StudyRecipe()

    @model_validator(mode="after")
    def _unique_names(self) -> Self:
        names = [task.name for task in self.tasks]
        for plural, entries in (("tasks", names), ("variants", [variant.name for variant in self.study.variants])):
            if repeated := [name for name in entries if entries.count(name) > 1]:
                raise ValueError(f"two {plural} are named {repeated[0]!r}")
        if reserved := {"tokenizer", "backbone"} & set(names):
            raise ValueError(f"a task must not be named {min(reserved)!r}: another registered model has that name")
        if unknown := sorted(set(self.gates.floors) - set(names)):
            raise ValueError(f"gates.floors names unknown tasks: {', '.join(unknown)}")
        deciding = [task.name for task in self.tasks if task.operating_point]
        if undecided := sorted(set(self.gates.sensitivity) - set(deciding)):
            raise ValueError(f"gates.sensitivity names tasks without operating_point: {', '.join(undecided)}")
        tested = {task.dataset for task in self.tasks} & {probe.dataset for probe in self.pretraining.probes}
        if self.split.cross_validated and self.pretraining.probe_patience and tested:
            raise ValueError(
                f"pretraining.probe_patience: labels of {min(tested)} would select the backbone, and all of its "
                f"subjects are tested under split.kind: {self.split.kind}; set it to 0"
            )
        self._check_golden()
        trained = [task.name for task in self.tasks if task.adaptation.strategy != "probe"]
        if self.split.kind in ("within-session", "cross-session") and (trained or deciding):
            needed = "with adaptation.strategy: probe" if trained else "without operating_point"
            raise ValueError(f"split.kind: {self.split.kind} is for tasks {needed}, unlike {(trained or deciding)[0]}")
        return self

    def _check_golden(self) -> None:
        for entry in self.gates.golden:
            task = next((task for task in self.tasks if task.name == entry.task), None)
            if task is None:
                raise ValueError(f"gates.golden names an unknown task: {entry.task}")
            if (task.kind == "regression") != isinstance(entry.answer, float):
                raise ValueError(
                    f"gates.golden: the answer of {entry.sha256[:12]} must be "
                    f"{'a number' if task.kind == 'regression' else 'the name of a class'}"
                )
            if task.kind != "regression" and entry.answer not in task.classes:
                raise ValueError(
                    f"gates.golden: {entry.answer!r} is no class of {task.name}: {', '.join(task.classes)}"
                )

    def write(self, path: Path) -> None:
        """Write the recipe as YAML, from which `labram.recipe.load` returns an equal one."""
        path.write_text(yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False), encoding="utf-8")

    def task(self, name: str) -> TaskRecipe:
        """Return the task of that name.

        Raises:
            RecipeError: If the recipe has no such task.
        """
        for task in self.tasks:
            if task.name == name:
                return task
        remedy = f"Choose one of: {', '.join(task.name for task in self.tasks)}" if self.tasks else "Add a task"
        raise RecipeError(f"recipe {self.name!r} has no task {name!r}", field="tasks", remedy=remedy)
