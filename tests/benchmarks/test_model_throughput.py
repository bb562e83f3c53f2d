"""Every step of the benchmark runs, and says how fast."""

import pytest

from benchmarks.model_throughput import STEPS, Load, Measurement, measure_models, ratios
from labram.models.braindecode_class import braindecode_class
from labram.models.config import BackboneConfig, TokenizerConfig

TOKENIZER = TokenizerConfig(width=100, conv_channels=4, depth=2, heads=5, codes=48, decoder_depth=1, code_width=16)
BACKBONE = BackboneConfig(width=100, conv_channels=4, depth=2, heads=5, codes=48)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_each_step_is_measured(precision):
    found = list(
        measure_models(
            precisions=(precision,),
            modes=("eager",),
            load=Load(batch=2, channels=3, seconds=2),
            tokenizer=TOKENIZER,
            backbone=BACKBONE,
            repeats=1,
        )
    )
    assert [measurement.step for measurement in found if measurement.implementation == "labram"] == list(STEPS)
    compared = [measurement.step for measurement in found if measurement.implementation == "braindecode"]
    assert compared == (["finetune", "inference"] if braindecode_class() else [])
    assert all(measurement.patches_per_second > 0 for measurement in found)
    assert found[0].to_json()["precision"] == precision


def test_a_ratio_compares_equal_steps_precisions_and_modes():
    measured = [
        Measurement("inference", "fp32", "eager", "labram", 30.0, 1),
        Measurement("inference", "bf16", "eager", "labram", 50.0, 1),
        Measurement("inference", "fp32", "eager", "braindecode", 20.0, 1),
    ]
    assert ratios(measured) == {("inference", "fp32", "eager"): 1.5}
