"""Every step of the benchmark runs, and says how fast."""

import pytest

from labram.models.bench import STEPS, Load, bench


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
    assert [measurement.step for measurement in found] == list(STEPS)
    assert all(measurement.patches_per_second > 0 for measurement in found)
    assert found[0].to_json()["precision"] == precision
