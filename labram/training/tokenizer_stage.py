"""Training stage `tokenizer`: learn the codebook by predicting spectra of patches (paper, section 2.2)."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from labram.corpus.catalogue import Corpus
from labram.errors import TrainingError, WeightsError
from labram.models import weights
from labram.models.tokenizer import Tokenizer
from labram.recipe import ArchitectureRecipe, TokenizerRecipe
from labram.store.store import Store
from labram.training import device as devices
from labram.training.checkpoints import Checkpoints
from labram.training.codebook import CodebookMonitor, write_codebook_usage, write_spectrum_examples
from labram.training.data.pretraining_windows import pretraining_windows
from labram.training.data.windows import WindowBatch, WindowSampler
from labram.training.distributed.process_group import ProcessGroup
from labram.training.loop import fit
from labram.training.model_configs import tokenizer_config
from labram.training.objectives.tokenizer_objective import TokenizerObjective
from labram.training.optimiser import parameter_groups
from labram.training.plan import pretraining_plan
from labram.training.stage_run import StageRun

KMEANS_PATCHES_PER_CODE = 16
"""Patches per code for the initial k-means: every cluster then has members from several recordings."""


def train_tokenizer(
    corpus: Corpus, store: Store, architecture: ArchitectureRecipe, recipe: TokenizerRecipe, run: StageRun
) -> dict[str, float]:
    """Train a tokenizer on the train split, and validate it on the validation split.

    Args:
        corpus: Catalogue.
        store: Patch store.
        architecture: Model dimensions.
        recipe: Training settings.
        run: Seed, folders and monitor.

    Returns:
        Metrics of the last validation, with `steps` and `skipped_steps`.

    Raises:
        CorpusError: If the train split has no recordings.
        CheckpointError: If the checkpoints belong to another training.
        TrainingError: If the loss diverged or the codebook collapsed.
    """
    with run.initial_weights_seeded():
        model = devices.prepare_model(Tokenizer(tokenizer_config(architecture, recipe)))
    batches, validation = pretraining_windows(corpus, store, recipe, run.seed, run.monitor)
    objective = TokenizerObjective(model, restart_every=recipe.restart_every)
    kmeans_patches = KMEANS_PATCHES_PER_CODE * architecture.codes
    result = fit(
        objective,
        batches,
        validation,
        pretraining_plan(recipe, run.seed),
        groups=parameter_groups(model, recipe.optimiser.weight_decay),
        checkpoints=Checkpoints(run.checkpoints),
        identity=run.identity(corpus, architecture=architecture, tokenizer=recipe),
        monitor=CodebookMonitor(run.monitor, recipe.min_perplexity),
        allow=run.allow,
        initialise=lambda: objective.initialise(list(_first_windows(batches, kmeans_patches))),
    )
    _check_codebook(result.metrics, recipe)
    if ProcessGroup.current().is_main:
        write_codebook_usage(model, validation, run.out)
        write_spectrum_examples(model, validation, run.out)
    return run.write_model(model, result)


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load a tokenizer.

    Raises:
        WeightsError: If the folder does not hold the weights of a tokenizer.
    """
    model = weights.load(folder)
    if not isinstance(model, Tokenizer):
        raise WeightsError(
            f"expected the weights of a tokenizer, got those of a {type(model).__name__}",
            file=folder,
            remedy="Pass the output folder of the tokenizer step",
        )
    return model


def _first_windows(batches: WindowSampler, patches: int) -> Iterator[WindowBatch]:
    """Yield the windows of the first steps, until they have `patches` patches."""
    step = 0
    while patches > 0:
        for batch in batches.batch(step):
            patches -= batch.weight
            yield batch
        step += 1


def _check_codebook(metrics: Mapping[str, float], recipe: TokenizerRecipe) -> None:
    if not metrics["perplexity"] >= recipe.min_perplexity:
        raise TrainingError(
            f"the codebook has collapsed: expected a perplexity of at least {recipe.min_perplexity:g}, got "
            f"{metrics['perplexity']:.2f} with {metrics['used_codes']:.0f} used codes",
            field="tokenizer.min_perplexity",
            remedy="Train on more recordings, use fewer architecture.codes, or lower tokenizer.optimiser.peak_lr",
        )
