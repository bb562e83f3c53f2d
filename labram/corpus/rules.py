"""The rules of quality: which figure of a recording must lie between which bounds, and what follows when it does not.

They are a Great Expectations suite, written in Python; the thresholds are the recipe's. docs/quality.md says where good
and bad recordings lie.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from labram.errors import Reason
from labram.recipe import QualityRecipe

Severity = Literal["critical", "warning"]
SHARED = "shared_recording"
"""Warning code of a recording that stands under another subject too."""


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


@dataclass(frozen=True)
class SuiteResult:
    """What a suite found.

    Attributes:
        outcomes: One a rule, in the order of the suite.
        result: Great Expectations' own result, for its Data Docs; None where there was nothing to check.
    """

    outcomes: tuple[Outcome, ...]
    result: Any


def recording_rules(recipe: QualityRecipe) -> list[Rule]:
    """The suite that judges each recording by itself, in the order of reports."""
    unit = math.sqrt(1000.0)
    least_rms, most_rms = recipe.typical_rms_uv / unit, recipe.typical_rms_uv * unit
    slopes = {"least": recipe.min_psd_slope, "most": recipe.max_psd_slope}
    return [
        Rule("long enough", "critical", Reason.TOO_SHORT, "seconds", least=recipe.min_seconds),
        Rule("enough channels", "critical", Reason.NO_CANONICAL_CHANNELS, "channels", least=recipe.min_channels),
        Rule("sampled fast enough", "critical", Reason.LOW_RATE, "rate_hz", least=recipe.min_rate_hz),
        Rule("channels alive", "critical", Reason.FLAT, "flat_fraction", most=recipe.max_flat_fraction),
        Rule("unit", "critical", Reason.IMPLAUSIBLE_UNIT, "band_rms_uv", least=least_rms, most=most_rms),
        Rule("amplitude", "critical", Reason.EXCESSIVE_AMPLITUDE, "median_sd_uv", most=recipe.max_median_sd_uv),
        Rule("few bad channels", "critical", Reason.EXCESSIVE_AMPLITUDE, "bad_fraction", most=recipe.max_bad_fraction),
        Rule("no holes", "critical", Reason.GAPS, "gap_seconds", most=recipe.max_gap_seconds),
        Rule("spectrum of EEG", "critical", Reason.NOT_EEG, "psd_slope", **slopes),
        Rule("not made of lines", "critical", Reason.NOT_EEG, "spectral_flatness", least=recipe.min_spectral_flatness),
        Rule("no staircase", "critical", Reason.NOT_EEG, "held_fraction", most=recipe.max_held_fraction),
        Rule("channels differ", "critical", Reason.NOT_EEG, "channel_correlation", most=recipe.max_channel_correlation),
        Rule("little line noise", "warning", "line_noise", "line_noise_ratio", most=recipe.warn_line_noise_ratio),
        Rule("usual spectrum", "warning", "flat_spectrum", "psd_slope", most=recipe.warn_psd_slope),
        Rule("no dropouts", "warning", "dropouts", "dead_seconds", most=recipe.warn_dead_seconds),
        Rule("nothing saturated", "warning", "saturated", "saturated_channels", most=0),
        Rule("nothing clipped", "warning", "clipped", "clipped_samples", most=0),
    ]


def copy_rules() -> list[Rule]:
    """The suite that compares the recordings that are left: whether one is in the corpus already."""
    return [
        Rule("no copy", "critical", Reason.DUPLICATE_CONTENT, "copies", most=0),
        Rule("no copy of another subject", "critical", Reason.DUPLICATE_SUBJECT, "copies_of_others", most=0),
        Rule("of one subject", "warning", SHARED, "copied_by_others", most=0),
    ]


def check_rules(figures: pd.DataFrame, suite: Sequence[Rule]) -> SuiteResult:
    """Judge recordings.

    Args:
        figures: A row a recording: `recording_id` and the columns of the rules. Missing figures break no rule.
        suite: See `rules`.
    """
    if figures.empty:
        return SuiteResult(tuple(Outcome(rule, ()) for rule in suite), None)
    result = _validate(figures, suite)
    ordered = sorted(result.results, key=lambda one: one.expectation_config.meta["rule"])
    return SuiteResult(
        tuple(Outcome(rule, _broken_by(one)) for rule, one in zip(suite, ordered, strict=True)),
        result,
    )


def _validate(figures: pd.DataFrame, suite: Sequence[Rule]) -> Any:
    """Great Expectations' result. Everything is in memory; nothing is sent anywhere."""
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
            notes=f"{rule.name}: else {rule.code} ({rule.severity})",
        )
        for number, rule in enumerate(suite)
    ]
    definition = gx.ValidationDefinition(
        name="quality", data=batch, suite=context.suites.add(gx.ExpectationSuite("quality", expectations))
    )
    context.validation_definitions.add(definition)
    return definition.run(
        batch_parameters={"dataframe": figures},
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["recording_id"]},
    )


def _broken_by(result: Any) -> tuple[str, ...]:
    if result.exception_info.get("raised_exception"):
        raise RuntimeError(f"the rule could not be evaluated: {result.exception_info}")
    return tuple(sorted(str(entry["recording_id"]) for entry in result.result.get("unexpected_index_list") or ()))
