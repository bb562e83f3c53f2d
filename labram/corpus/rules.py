"""The rules of quality: which figure of a recording must lie between which bounds, and what follows when it does not.

They are a Great Expectations suite, written in Python; the thresholds are the recipe's.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from labram.errors import Reason
from labram.recipe import QualityRecipe

Severity = Literal["critical", "warning"]


@dataclass(frozen=True)
class Rule:
    """One expectation about a column of the catalogue.

    Attributes:
        name: For reports.
        severity: ``critical`` sends a recording to the quarantine, ``warning`` is kept and counted.
        code: Reason code or warning code of recordings that break the rule.
        column: The figure.
        least: Smallest value that is allowed.
        most: Largest value that is allowed.
    """

    name: str
    severity: Severity
    code: str
    column: str
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True)
class Outcome:
    """A rule and the recordings that broke it."""

    rule: Rule
    recordings: tuple[str, ...]


def rules(recipe: QualityRecipe) -> list[Rule]:
    """The suite, in the order of reports."""
    return [
        Rule("long enough", "critical", Reason.TOO_SHORT, "seconds", least=recipe.min_seconds),
        Rule("enough channels", "critical", Reason.NO_CANONICAL_CHANNELS, "channels", least=recipe.min_channels),
        Rule("channels alive", "critical", Reason.FLAT, "flat_fraction", most=recipe.max_flat_fraction),
        Rule("unit not too small", "critical", Reason.IMPLAUSIBLE_UNIT, "max_sd_uv", least=recipe.min_channel_sd_uv),
        Rule("unit not too large", "critical", Reason.IMPLAUSIBLE_UNIT, "median_sd_uv", most=recipe.implausible_sd_uv),
        Rule("amplitude", "critical", Reason.EXCESSIVE_AMPLITUDE, "median_sd_uv", most=recipe.max_median_sd_uv),
        Rule("few bad channels", "critical", Reason.EXCESSIVE_AMPLITUDE, "bad_fraction", most=recipe.max_bad_fraction),
        Rule("no holes", "critical", Reason.GAPS, "gap_seconds", most=recipe.max_gap_seconds),
        Rule("little line noise", "warning", "line_noise", "line_noise_ratio", most=recipe.warn_line_noise_ratio),
        Rule("spectrum of EEG", "warning", "flat_spectrum", "psd_slope", most=recipe.warn_psd_slope),
        Rule("nothing clipped", "warning", "clipped", "clipped_samples", most=0),
    ]


def check(figures: pd.DataFrame, suite: Sequence[Rule]) -> list[Outcome]:
    """Judge recordings.

    Args:
        figures: A row a recording: `recording_id` and the columns of the rules. Missing figures break no rule.
        suite: See `rules`.

    Returns:
        One outcome a rule, in the order of the suite.
    """
    if figures.empty:
        return [Outcome(rule, ()) for rule in suite]
    results = _validate(figures, suite)
    return [Outcome(rule, _broken_by(result)) for rule, result in zip(suite, results, strict=True)]


def _validate(figures: pd.DataFrame, suite: Sequence[Rule]) -> list[Any]:
    """Great Expectations' results, one a rule. Everything is in memory; nothing is sent anywhere."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("catalogue").add_dataframe_asset("recordings")
    batch = asset.add_batch_definition_whole_dataframe("all")
    expectations = [
        gx.expectations.ExpectColumnValuesToBeBetween(
            column=rule.column,
            min_value=rule.least,
            max_value=rule.most,
            severity=rule.severity,
            meta={"rule": number},
        )
        for number, rule in enumerate(suite)
    ]
    definition = gx.ValidationDefinition(
        name="quality", data=batch, suite=context.suites.add(gx.ExpectationSuite("quality", expectations))
    )
    context.validation_definitions.add(definition)
    result = definition.run(
        batch_parameters={"dataframe": figures},
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["recording_id"]},
    )
    return sorted(result.results, key=lambda one: one.expectation_config.meta["rule"])


def _broken_by(result: Any) -> tuple[str, ...]:
    if result.exception_info.get("raised_exception"):
        raise RuntimeError(f"the rule could not be evaluated: {result.exception_info}")
    return tuple(sorted(str(entry["recording_id"]) for entry in result.result.get("unexpected_index_list") or ()))
