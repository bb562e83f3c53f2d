"""Training stage `pretrain`: learn to predict the codes of masked patches (paper, section 2.3)."""

from pathlib import Path

from labram.corpus.catalogue import Corpus
from labram.models import weights
from labram.models.masked import MaskedModel
from labram.recipe import ArchitectureRecipe, PretrainingRecipe
from labram.store.store import Store
from labram.training import device as devices
from labram.training.checkpoints import Checkpoints
from labram.training.data.codes import with_stored_codes
from labram.training.data.pretraining_windows import pretraining_windows
from labram.training.distributed.fsdp import shard_model, unsharded_copy
from labram.training.distributed.process_group import ProcessGroup
from labram.training.loop import fit
from labram.training.model_configs import backbone_config
from labram.training.objectives.masked_objective import MaskedObjective
from labram.training.optimiser import parameter_groups
from labram.training.plan import ModelSelection, pretraining_plan
from labram.training.stage_run import StageRun
from labram.training.tokenizer_stage import load_tokenizer
from labram.training.validation_probes import PROBE_GAIN, ValidationProbes


def train_backbone(
    corpus: Corpus,
    store: Store,
    tokenizer: Path,
    architecture: ArchitectureRecipe,
    recipe: PretrainingRecipe,
    run: StageRun,
) -> dict[str, float]:
    """Pre-train a backbone on the train split, and validate it on the validation split.

    Args:
        corpus: Catalogue.
        store: Patch store.
        tokenizer: Folder of the tokenizer, which is frozen.
        architecture: Model dimensions; the number of codes is the tokenizer's.
        recipe: Training settings.
        run: Seed, folders and monitor.

    Returns:
        Metrics of the last validation, or of the best one by the recipe's probes if they select it, with `steps` and
        `skipped_steps`.

    Raises:
        WeightsError: If `tokenizer` does not hold a tokenizer.
        LabelError: If there are no labels for a probe.
        CorpusError: If the train split has no recordings.
        CheckpointError: If the checkpoints belong to another training.
        TrainingError: If the loss diverged.
    """
    teacher, digest = devices.prepare_model(load_tokenizer(tokenizer)), weights.digest(tokenizer)
    with run.initial_weights_seeded():
        model = devices.prepare_model(MaskedModel(backbone_config(architecture, teacher.config.codes)))
    batches, validation = pretraining_windows(corpus, store, recipe, run.seed, run.monitor)
    if recipe.stored_codes:
        batches = with_stored_codes(batches, teacher.eval(), digest, run.monitor)
    probe = None
    if recipe.probes and ProcessGroup.current().is_main:
        probe = ValidationProbes(corpus, store, recipe.probes, model).scores
    selection = ModelSelection(PROBE_GAIN, recipe.probe_patience) if recipe.probe_patience else None
    sharded = recipe.sharded and ProcessGroup.current().world_size > 1
    if sharded:
        shard_model(model)
    result = fit(
        MaskedObjective(model, teacher, mask_ratio=recipe.mask_ratio, symmetric=recipe.symmetric, probe=probe),
        batches,
        validation,
        pretraining_plan(recipe, run.seed, selection),
        groups=parameter_groups(model, recipe.optimiser.weight_decay),
        checkpoints=Checkpoints(run.checkpoints),
        identity=run.identity(corpus, {"tokenizer": digest}, architecture=architecture, pretraining=recipe),
        monitor=run.monitor,
        allow=run.allow,
    )
    return run.write_model(unsharded_copy(model) if sharded else model, result)
