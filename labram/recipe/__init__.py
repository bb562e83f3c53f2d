"""A recipe fixes every setting of a run: one typed, frozen object, read from YAML.

Unknown keys and values outside their range are errors that name the key and what is allowed. Each section is passed
to the one step that uses it, so that changing a section re-runs that step and the steps after it, and no others.
"""

from labram.recipe.adaptation import LEAST_WINDOWS, AdaptationRecipe, WindowPooling
from labram.recipe.alignment import REST, AlignmentRecipe
from labram.recipe.gates import GateRecipe
from labram.recipe.loader import available, load, merge
from labram.recipe.operating_point import DecisionUnit, OperatingPointRecipe, Rule
from labram.recipe.schema import (
    MODEL_FILE,
    RUN_FILE,
    ArchitectureRecipe,
    AugmentRecipe,
    BaselineName,
    CorpusRecipe,
    EncoderRecipe,
    LinearName,
    NetworkName,
    OptimiserRecipe,
    PreprocessingRecipe,
    PretrainingRecipe,
    QualityRecipe,
    Recipe,
    TaskRecipe,
    TokenizerRecipe,
    TrainingRecipe,
)
from labram.recipe.split import FEWEST_TEST_SUBJECTS, Protocol, SplitRecipe
from labram.recipe.study import StudyRecipe, VariantRecipe
from labram.recipe.validation_probe import ValidationProbeRecipe

__all__ = [
    "FEWEST_TEST_SUBJECTS",
    "LEAST_WINDOWS",
    "MODEL_FILE",
    "REST",
    "RUN_FILE",
    "AdaptationRecipe",
    "AlignmentRecipe",
    "ArchitectureRecipe",
    "AugmentRecipe",
    "BaselineName",
    "CorpusRecipe",
    "DecisionUnit",
    "EncoderRecipe",
    "GateRecipe",
    "LinearName",
    "NetworkName",
    "OperatingPointRecipe",
    "OptimiserRecipe",
    "PreprocessingRecipe",
    "PretrainingRecipe",
    "Protocol",
    "QualityRecipe",
    "Recipe",
    "Rule",
    "SplitRecipe",
    "StudyRecipe",
    "TaskRecipe",
    "TokenizerRecipe",
    "TrainingRecipe",
    "ValidationProbeRecipe",
    "VariantRecipe",
    "WindowPooling",
    "available",
    "load",
    "merge",
]
