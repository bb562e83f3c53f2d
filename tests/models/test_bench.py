"""Every step of the benchmark runs, and says how fast."""

import pytest

from labram.models.bench import STEPS, Load, Measurement, bench, ratios
from labram.models.braindecode_class import braindecode_class


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_each_step_is_measured(tiny_config, tiny_tokenizer_config, precision):
    found = list(
        bench(
            precisions=(precision,),
            modes=("eager",),
            load=Load(batch=2, channels=3, seconds=2),
            tokenizer=tiny_tokenizer_config,
            backbone=tiny_config,
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
