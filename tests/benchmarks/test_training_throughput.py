"""What machines make of the models: counted, measured, kept, projected."""

import json
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from benchmarks.training_hours import project
from benchmarks.training_throughput import Throughput, operations
from labram import recipe as recipes
from labram.cli import app
from labram.errors import PlatformError
from labram.models.config import BackboneConfig, TokenizerConfig
from labram.models.downstream import DownstreamModel
from labram.models.masked import MaskedModel
from labram.models.tokenizer import Tokenizer

ROOT = Path(__file__).parents[2]
TINY = "{width: 100, conv_channels: 4, heads: 5, depth: 1, decoder_depth: 1, codes: 16, code_width: 8}"
WINDOWS, CHANNELS, SECONDS = 2, 4, 3


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """A measurement of the masked step of tiny models."""
    folder = tmp_path_factory.mktemp("results")
    settings = (f"architecture={TINY}", "pretraining.patches=64", "pretraining.threads=1")
    changes = [part for setting in settings for part in ("--set", setting)]
    measured = ["--step", "masked", "--mode", "eager", "--batch", "1", "--repeats", "1", "--out", str(folder)]
    done = CliRunner().invoke(app, ["bench", "throughput", *measured, *changes])
    assert done.exit_code == 0, done.output
    (file,) = folder.glob("*.json")
    return Throughput.read(file)


def counted(step, tokenizer, backbone):
    """Operations a patch, as PyTorch counts them: all but those of products that are not its own."""
    x, rows = 0.1 * torch.randn(WINDOWS, CHANNELS, SECONDS, 200), torch.arange(1, CHANNELS + 1)
    shape = (WINDOWS, CHANNELS * SECONDS)
    hidden, codes = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.int64)
    tokenizer, masked, task = Tokenizer(tokenizer), MaskedModel(backbone), DownstreamModel(backbone, 1)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        if step == "tokenizer":
            tokenizer.train()(x, rows).loss.backward()
        if step == "masked":
            tokenizer.eval().encode(x, rows)
        if step.startswith("masked"):
            masked.loss(x, rows, hidden, codes).loss.backward()
        if step == "finetune":
            task(x, rows).sum().backward()
        if step == "inference":
            with torch.no_grad():
                task.eval()(x, rows)
    return counter.get_total_flops() / WINDOWS / (CHANNELS * SECONDS)


@pytest.mark.parametrize("step", ["tokenizer", "masked", "masked-stored", "finetune", "inference"])
def test_operations_are_those_that_pytorch_counts(step):
    sizes = {"width": 100, "conv_channels": 4, "heads": 5, "depth": 2, "codes": 64}
    configs = TokenizerConfig(**sizes, code_width=16), BackboneConfig(**sizes)
    expected = counted(step, *configs)
    assert operations(step, *configs, patches=CHANNELS * SECONDS) == pytest.approx(expected, rel=0.02)


def test_a_masked_step_of_base_takes_445_gigaflop():
    """As counted for benchmarks/model.md: 16 windows of 256 patches."""
    found = operations("masked", TokenizerConfig.base(), BackboneConfig.base(), patches=256)
    assert found * 16 * 256 == pytest.approx(445e9, rel=0.02)


def test_a_result_says_when_where_and_of_what(result):
    assert result.recipe == "base"
    assert result.file == f"{result.date}-base-{result.file.split('-base-')[1]}"
    assert len(result.commit.rstrip("+")) == 40
    assert result.machine.name
    assert result.machine.product_tflop_per_s.keys() == {"fp32", "bf16"}
    assert [(rate.step, rate.precision, rate.mode) for rate in result.rates] == [
        ("masked", "fp32", "eager"),
        ("masked", "bf16", "eager"),
    ]


def test_rates_follow_from_the_speed(result):
    rate = result.rates[0]
    assert rate.signal_gb_per_s == pytest.approx(rate.patches_per_s * 800 / 1e9)
    assert rate.tokens_per_s == pytest.approx(2 * rate.patches_per_s * 257 / 256)
    assert rate.utilisation == pytest.approx(rate.tflop_per_s / result.machine.product_tflop_per_s["fp32"])


def test_a_step_is_divided_into_its_parts(result):
    assert list(result.parts) == ["loading", "to the device", "codes", "forward", "backward", "optimiser"]
    assert min(result.parts.values()) > 0
    assert result.patches_a_step > 64
    assert 0 <= result.others <= 1


def test_hours_are_patches_over_speed(result):
    base = recipes.load("base")
    measured = result.model_copy(update={"architecture": base.architecture})
    tokenizer, found = project(base, [measured])
    assert (tokenizer.stage, tokenizer.machine) == ("tokenizer", None)
    assert (found.recipe, found.stage) == ("base", "pretraining")
    assert found.patches == 222750 * 8 * 16384
    assert found.hours == pytest.approx(found.patches / result.rates[0].patches_per_s / 3600)


@pytest.mark.parametrize(("others", "said"), [(0.01, False), (0.4, True)])
def test_a_machine_that_had_other_things_to_do_is_said_to(result, others, said):
    base = recipes.load("base")
    measured = result.model_copy(update={"architecture": base.architecture, "others": others})
    _, found = project(base, [measured])
    assert ("other processes took 40% of it" in found.machine) == said


def test_what_was_measured_with_other_dimensions_is_not_projected(result):
    with pytest.raises(PlatformError, match="another architecture than that of the recipe 'base'"):
        list(project(recipes.load("base"), [result]))


@pytest.mark.parametrize("text", ["{}", "no JSON", json.dumps({"date": "2026-11-21"})])
def test_a_file_that_is_no_result_is_named(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(PlatformError, match=r"x\.json: not a result"):
        Throughput.read(tmp_path / "x.json")


def test_what_no_machine_was_measured_for_is_not_guessed():
    (large,) = project(recipes.load("large"), [])
    assert large.row[:2] == ("large", "pretraining")
    assert large.row[4:] == ("not measured", "–", "–")
    assert large.operations / large.patches > 5e8


def test_the_table_in_the_documentation_is_the_present_one(monkeypatch):
    monkeypatch.chdir(ROOT)
    done = CliRunner().invoke(app, ["bench", "hours"])
    assert done.exit_code == 0, done.output
    assert done.stdout in (ROOT / "docs" / "training.md").read_text()
