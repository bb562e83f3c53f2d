"""Throughput of LaBraM-Base, and of the same computation arranged as in the published code, in turn.

    python -m benchmarks.compare_published [--steps masked finetune] [--precisions bf16] [--repeats 9] [--json]

Prints the median patches per second of both and their ratio, for 16 windows of 32 channels x 8 s. Taking turns exposes
both to the same background load; still, measure on an idle machine.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch.nn import functional

from benchmarks import model_throughput, published
from labram.input_spec import PATCH_SAMPLES
from labram.memory import keep_freed_memory
from labram.models.config import BackboneConfig, TokenizerConfig
from labram.models.downstream import DownstreamModel
from labram.models.masked import MaskedModel, random_mask
from labram.models.tokenizer import Tokenizer

LOAD = model_throughput.Load()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", nargs="+", default=model_throughput.STEPS, choices=model_throughput.STEPS)
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"], choices=["fp32", "bf16"])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    keep_freed_memory()
    for step in options.steps:
        runs = {"labram": _ours(step), "published": _theirs(step)}
        for precision in options.precisions:
            speeds = _in_turn(runs, precision, options.repeats)
            ratio = speeds["labram"] / speeds["published"]
            if options.json:
                print(json.dumps({"step": step, "precision": precision, **speeds, "ratio": round(ratio, 3)}))
            else:
                print(
                    f"{step:10s} {precision}  {speeds['labram']:7.0f} patches/s, "
                    f"published arrangement {speeds['published']:7.0f}: {ratio:.2f} times"
                )


def _ours(step: model_throughput.Step) -> Callable[[Any], object]:
    return model_throughput.prepare(step, "eager", "labram", LOAD, TokenizerConfig.base(), BackboneConfig.base())


def _theirs(step: model_throughput.Step) -> Callable[[Any], object]:
    torch.manual_seed(0)
    x = 0.3 * torch.randn(LOAD.batch, LOAD.channels, LOAD.seconds, PATCH_SAMPLES)
    rows = torch.arange(1, LOAD.channels + 1)
    if step == "tokenizer":
        tokenizer: Any = Tokenizer(TokenizerConfig.base())
        tokenizer(x, rows)
        published.as_published(tokenizer)
        return model_throughput.training_step(tokenizer, lambda: tokenizer(x, rows).loss)
    if step.startswith("masked"):
        masked: Any = published.as_published(MaskedModel(BackboneConfig.base()))
        frozen: Any = published.as_published(Tokenizer(TokenizerConfig.base()).eval())
        length = LOAD.channels * LOAD.seconds
        return model_throughput.training_step(
            masked,
            lambda: published.masked_loss(
                masked, x, rows, random_mask(LOAD.batch, length, 0.5), published.encode(frozen, x, rows)
            ),
        )
    model = published.as_published(
        DownstreamModel(BackboneConfig.base(), model_throughput.OUTPUTS, drop_path=model_throughput.DROP_PATH)
    )
    if step == "finetune":
        labels = torch.arange(LOAD.batch) % model_throughput.OUTPUTS
        return model_throughput.training_step(model, lambda: functional.cross_entropy(model(x, rows).float(), labels))
    model.eval()
    return lambda around: model_throughput.forward_only(around, lambda: model(x, rows))


def _in_turn(runs: dict[str, Callable[[Any], object]], precision: str, repeats: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats + 1):
        for name, run in runs.items():
            around = nullcontext() if precision == "fp32" else torch.autocast("cpu", torch.bfloat16)
            start = time.perf_counter()
            run(around)
            seconds[name].append(time.perf_counter() - start)
    return {name: round(LOAD.patches / statistics.median(taken[1:]), 1) for name, taken in seconds.items()}


if __name__ == "__main__":
    main()
