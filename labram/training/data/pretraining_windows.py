"""Training and validation windows of the self-supervised stages."""

from labram.corpus.catalogue import Corpus, Split
from labram.errors import CorpusError, TrainingError
from labram.events import Monitor
from labram.recipe import TrainingRecipe
from labram.store.store import Store
from labram.training.data.windows import Span, WindowBatch, WindowSampler
from labram.training.distributed.process_group import ProcessGroup
from labram.training.notify import warn_user


def pretraining_windows(
    corpus: Corpus, store: Store, recipe: TrainingRecipe, seed: int, monitor: Monitor
) -> tuple[WindowSampler, list[WindowBatch]]:
    """Return a sampler of training windows, and fixed validation windows of other subjects.

    Without validation subjects, the last tenth of each training recording is used for validation.

    Raises:
        CorpusError: If the train split has no recordings, or if they are too short.
        TrainingError: If `micro_batches` is not a multiple of the number of processes.
    """
    world_size = ProcessGroup.current().world_size
    if recipe.micro_batches % world_size:
        raise TrainingError(
            f"{recipe.micro_batches} micro-batches cannot be divided evenly among {world_size} processes",
            field="micro_batches",
            remedy="Set it to a multiple of the number of processes",
        )
    if not corpus.accepted("validation").empty:
        training, validation = (_sampler(corpus, store, recipe, seed, split) for split in ("train", "validation"))
        _note_excluded(monitor, training, validation)
        return training, validation.fixed(recipe.validation_batches)
    warn_user(monitor, "there are no validation subjects: validating on the last tenth of the training recordings")
    try:
        training, validation = (_sampler(corpus, store, recipe, seed, "train", span) for span in ("beginning", "end"))
    except CorpusError:
        raise CorpusError(
            "the training recordings are too short to keep a tenth of them for validation",
            remedy="Add subjects, so that some can be kept for validation",
        ) from None
    _note_excluded(monitor, training, validation)
    return training, validation.fixed(recipe.validation_batches)


def _note_excluded(monitor: Monitor, training: WindowSampler, validation: WindowSampler) -> None:
    if training.excluded or validation.excluded:
        monitor.note(
            f"quality.max_window_uv excludes {training.excluded} training and {validation.excluded} validation windows"
        )


def _sampler(
    corpus: Corpus, store: Store, recipe: TrainingRecipe, seed: int, split: Split, span: Span = "all"
) -> WindowSampler:
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
        min_seconds=recipe.shortest_window_seconds,
        span=span,
    )
