"""The settings of a run: frozen pydantic models, one for each section of a recipe."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from labram import metrics
from labram.errors import RecipeError
from labram.frozen_model import FrozenModel
from labram.input_spec import MAX_PATCHES, MAX_SECONDS
from labram.metrics import Kind

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0.0)]


class CorpusRecipe(FrozenModel):
    """Which recordings take part."""

    datasets: tuple[str, ...] = Field(
        default=(), description="Dataset adapters to use; empty: every adapter that recognises a sub-folder."
    )
    shards: Positive = Field(default=2, description="Parallel ingest tasks.")


class PreprocessingRecipe(FrozenModel):
    """Filters of the paper (section 3.1): band-pass, notch at the mains frequency, 200 Hz."""

    high_pass_hz: Rate = 0.1
    low_pass_hz: Rate = 75.0
    notch: bool = True
    back_end: Literal["fused", "reference"] = Field(
        default="fused",
        description="All filters at once, in little memory; or one after the other, as the published scripts do.",
    )
    compatibility: Literal["corrected", "published"] = Field(
        default="corrected",
        description="published: a 50 Hz notch on every dataset, events at edges wrapped around and events on several "
        "channels repeated, as the published preparation does.",
    )


class QualityRecipe(FrozenModel):
    """Thresholds of the quality suite (docs/quality.md says how they were chosen). A share is a number from 0 to 1."""

    min_seconds: Rate = Field(default=1.0, description="A shorter recording is refused.")
    min_channels: Positive = Field(default=2, description="Canonical channels that must be left.")
    min_rate_hz: Rate = Field(default=80.0, description="A recording of fewer samples a second is refused.")
    flat_sd_uv: Rate = Field(default=0.1, description="A channel with a smaller SD after preprocessing is flat.")
    flat_seconds: Fraction = Field(default=0.5, description="And so is one that stands still for a larger share.")
    max_flat_fraction: Fraction = Field(default=0.5, description="Flat channels tolerated, as a share.")
    typical_rms_uv: Rate = Field(
        default=10.0,
        description="RMS of EEG in 1-45 Hz. Where another power of 1000 brings a recording nearer to it, its unit is "
        "taken to be wrong by that factor.",
    )
    max_median_sd_uv: Rate = Field(default=200.0, description="A larger median channel SD is refused.")
    max_channel_sd_uv: Rate = Field(default=250.0, description="A channel with a larger SD is bad.")
    max_saturated: Fraction = Field(default=0.05, description="And so is one at its extreme for a larger share.")
    max_bad_fraction: Fraction = Field(default=0.3, description="Bad channels tolerated, as a share.")
    max_gap_seconds: Rate = Field(default=1.0, description="Longest tolerated hole in the time stamps.")
    max_psd_slope: float = Field(default=-0.3, description="A flatter spectrum is that of noise.")
    min_psd_slope: float = Field(default=-5.0, description="A steeper spectrum is that of slow figures, not of EEG.")
    min_spectral_flatness: Fraction = Field(default=0.05, description="Below, the spectrum is made of lines.")
    max_held_fraction: Fraction = Field(
        default=0.5, description="Above, the signal is a staircase: replayed, a trigger, or written again and again."
    )
    max_channel_correlation: Fraction = Field(default=0.995, description="Above, the channels carry one signal.")
    warn_line_noise_ratio: Rate = Field(default=0.5, description="Mains power over 1-45 Hz power: warning.")
    warn_psd_slope: float = Field(default=-0.6, description="A flatter spectrum is unusual: warning.")
    warn_dead_seconds: int = Field(default=0, ge=0, description="More seconds without any signal: warning.")


class SplitRecipe(FrozenModel):
    """Shares of the subjects of each dataset that are held out, for every stage alike."""

    validation: Fraction = 0.2
    test: Fraction = 0.2


class EncoderRecipe(FrozenModel):
    """Dimensions of one transformer over patches; the defaults are those of LaBraM-Base."""

    width: Positive = Field(default=200, description="Embedding width D = 25 x conv_channels.")
    conv_channels: Positive = 8
    depth: Positive = Field(default=12, description="Transformer blocks of the encoder.")
    heads: Positive = 10

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
    """LaBraM's dimensions; the defaults are LaBraM-Base with the released tokenizer."""

    layer_scale: float = 0.1
    tokenizer: EncoderRecipe | None = Field(
        default=None, description="Dimensions of the tokenizer's encoder, where they are not the backbone's."
    )
    decoder_depth: Positive = Field(default=3, description="Transformer blocks of the tokenizer's decoder.")
    codes: Positive = Field(default=8192, description="Codebook entries.")
    code_width: Positive = 64


class OptimiserRecipe(FrozenModel):
    """AdamW, linear warm-up from zero, cosine decay (paper, tables 3 to 5)."""

    peak_lr: Rate = 5e-4
    min_lr: float = Field(default=1e-5, ge=0.0)
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = Field(default=0.05, ge=0.0)
    clip_norm: float | None = Field(default=None, description="Largest global gradient norm; null: no clipping.")


class TrainingRecipe(FrozenModel):
    """One stage of self-supervised training."""

    steps: Positive
    warmup_steps: int = Field(default=0, ge=0)
    micro_batches: Positive = Field(default=4, description="Micro-batches in a step; each has one montage.")
    patches: Positive = Field(default=2048, description="Patches in a micro-batch, at most.")
    window_patches: Positive = Field(default=MAX_PATCHES, le=MAX_PATCHES, description="Patches in a window, at most.")
    temperature: float = Field(
        default=1.0,
        ge=0.0,
        le=1.0,
        description="1: every recording is visited in proportion to its hours; 0: every montage equally often.",
    )
    window_seconds: Positive = Field(default=MAX_SECONDS, le=MAX_SECONDS, description="Seconds in a window, at most.")
    shortest_window_seconds: Positive | None = Field(
        default=None,
        le=MAX_SECONDS,
        description="Lengths of windows are drawn from this to the longest that fits; null: always the longest.",
    )
    optimiser: OptimiserRecipe = OptimiserRecipe()
    log_every: Positive = 10
    validate_every: Positive = 100
    validation_batches: Positive = 4
    checkpoint_every: Positive = 100
    threads: Positive = Field(default=2, description="CPU threads; part of the recipe because sums depend on it.")


class TokenizerRecipe(TrainingRecipe):
    """Vector-quantised neural spectrum prediction (paper section 2.2)."""

    ema_decay: Fraction = 0.99
    restart_every: int = Field(
        default=0, ge=0, description="Steps between restarts of codes that are hardly used; 0: none, as published."
    )
    min_perplexity: float = Field(
        default=2.0, ge=1.0, description="A codebook less used than this at the end has collapsed: the step fails."
    )


class PretrainingRecipe(TrainingRecipe):
    """Masked prediction of codes (paper section 2.3)."""

    mask_ratio: Fraction = 0.5
    symmetric: bool = Field(default=True, description="Predict the complement of each mask too.")
    stored_codes: bool = Field(
        default=False,
        description="Windows follow one another from each recording's start, and their codes are worked out once and "
        "looked up. Otherwise windows begin at any sample, and the tokenizer runs in every step.",
    )
    sharded: bool = Field(
        default=False,
        description="Several processes share weights, gradients and moments out between them (FSDP2) instead of "
        "holding all of them each. Changes memory and traffic, not the result.",
    )

    @model_validator(mode="after")
    def _whole_windows(self) -> Self:
        if self.stored_codes and self.shortest_window_seconds is not None:
            raise ValueError("stored_codes are those of windows of one length: leave shortest_window_seconds null")
        return self


class AugmentRecipe(FrozenModel):
    """Variations of training windows that leave their labels true; none of them is published."""

    shift: bool = Field(default=False, description="Rotate a window in time by any number of samples.")
    flip: bool = Field(default=False, description="Reverse the polarity of every other window.")
    gain_sd: float = Field(default=0.0, ge=0.0, description="SD of the logarithm of each channel's gain.")
    noise: float = Field(default=0.0, ge=0.0, description="White noise, as a share of each channel's SD.")


class TaskRecipe(FrozenModel):
    """A labelled downstream problem and how the model is fine-tuned for it."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str
    dataset: str = Field(description="The adapter that gives the labels.")
    kind: Kind
    classes: tuple[str, ...] = Field(default=(), description="Class names, by label; for regression the targets.")
    seconds: Positive = Field(default=4, le=MAX_SECONDS, description="Window length.")
    metric: str = Field(description="The headline metric, which gates and model selection use.")
    epochs: Positive = 20
    batch: Positive = 32
    warmup_epochs: float = Field(default=2.0, ge=0.0)
    optimiser: OptimiserRecipe = OptimiserRecipe(betas=(0.9, 0.999), min_lr=1e-6)
    layer_decay: float = Field(default=0.65, gt=0.0, le=1.0)
    drop_path: Fraction = 0.1
    label_smoothing: Fraction = 0.1
    class_weights: bool = Field(
        default=True,
        description="Weight classes by their rarity in the loss. Not published; small tasks are rarely balanced.",
    )
    augment: AugmentRecipe = AugmentRecipe()
    patience: Positive = Field(default=6, description="Epochs without a better validation score before stopping.")
    threads: Positive = 1

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = metrics.of_kind(self.kind)
        if self.metric not in names:
            raise ValueError(f"metric of a {self.kind} task must be one of {', '.join(names)}, not {self.metric}")
        if self.kind == "binary" and len(self.classes) != 2:
            raise ValueError(f"a binary task has two classes, not {len(self.classes)}")
        if len(self.classes) < {"binary": 2, "multiclass": 3, "regression": 1}[self.kind]:
            raise ValueError(f"classes has too few names for a {self.kind} task")
        return self

    @property
    def outputs(self) -> int:
        """Width of the head: one logit for a binary task, else one value a class or target."""
        return 1 if self.kind == "binary" else len(self.classes)


MODEL_FILE = "recipe.json"
"""Under this name a registered model keeps the recipe that it was made with."""


class GateRecipe(FrozenModel):
    """Conditions on promotion (design: tracking, registry, promotion)."""

    margin: float = Field(default=0.02, ge=0.0, description="How much worse than the champion a metric may be.")
    floors: dict[str, float] = Field(
        default={},
        description="By task: what the interval of a first champion's metric must clear. A task that is not named must "
        "clear what answers that ignore the signals get.",
    )
    min_used_codes: Positive = Field(default=8, description="Codes that validation windows must use.")
    min_perplexity: float = Field(default=4.0, ge=1.0)
    allow_overlap: bool = Field(
        default=False, description="Accept evaluation subjects or recordings that pre-training has seen."
    )
    bootstrap: Positive = Field(default=2000, description="Resamplings of subjects for confidence intervals.")


class VariantRecipe(FrozenModel):
    """One way to fine-tune, in a study."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    pretrained: bool = Field(default=True, description="false: from random values, to see what pre-training is worth.")
    subjects: float = Field(default=1.0, gt=0.0, le=1.0, description="Share of the training subjects that it sees.")
    task: dict[str, Any] = Field(
        default={},
        description="Settings of a task, such as layer_decay, that it has instead of the recipe's.",
    )


class StudyRecipe(FrozenModel):
    """What `labram study` compares: every variant on every task with every seed."""

    seeds: Positive = Field(default=3, description="Fine-tunings of each variant; their seeds count up from `seed`.")
    variants: tuple[VariantRecipe, ...] = Field(default=(), description="The others are compared with the first.")


class Recipe(FrozenModel):
    """Every setting of a run."""

    name: str = Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*$", description="Names the runs, and their folders.")
    description: str
    seed: int = Field(default=0, ge=0, lt=2**31)
    corpus: CorpusRecipe = CorpusRecipe()
    preprocessing: PreprocessingRecipe = PreprocessingRecipe()
    quality: QualityRecipe = QualityRecipe()
    split: SplitRecipe = SplitRecipe()
    architecture: ArchitectureRecipe = ArchitectureRecipe()
    tokenizer: TokenizerRecipe
    pretraining: PretrainingRecipe
    tasks: tuple[TaskRecipe, ...] = Field(default=(), description="None: a run ends with the backbone.")
    gates: GateRecipe = GateRecipe()
    study: StudyRecipe = StudyRecipe()

    @model_validator(mode="after")
    def _names_can_be_told_apart(self) -> Self:
        names = [task.name for task in self.tasks]
        for kind, given in (("tasks", names), ("variants", [variant.name for variant in self.study.variants])):
            if twice := [name for name in given if given.count(name) > 1]:
                raise ValueError(f"two {kind} are called {twice[0]!r}")
        if taken := {"tokenizer", "backbone"} & set(names):
            raise ValueError(f"a task may not be called {min(taken)!r}: that is the registered name of another model")
        if unknown := sorted(set(self.gates.floors) - set(names)):
            raise ValueError(f"gates.floors names {', '.join(unknown)}, which is no task of this recipe")
        return self

    def task(self, name: str) -> TaskRecipe:
        """The task of that name.

        Raises:
            RecipeError: If the recipe has no such task.
        """
        for task in self.tasks:
            if task.name == name:
                return task
        remedy = (
            f"Choose one of: {', '.join(task.name for task in self.tasks)}" if self.tasks else "It has none: add one"
        )
        raise RecipeError(f"recipe {self.name!r} has no task {name!r}", field="tasks", remedy=remedy)
