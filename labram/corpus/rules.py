"""Quality rules: the allowed range of each metric of a recording, and the reason or warning code outside it.

The rules are a Great Expectations suite; thresholds come from the recipe. docs/quality.md lists values of good and bad
recordings.
"""

import math
import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd

from labram.errors import Reason
from labram.recipe import QualityRecipe

MAX_CHANNELS_WITHOUT_CORRELATION = 2
"""Two channels may be neighbours: only more have a `channel_correlation`."""
Severity = Literal["critical", "warning"]
SHARED = "shared_recording"
"""Warning code of a recording that is also stored under another subject."""
GAPS_UNKNOWN = "gaps_unknown"
"""Warning code, and column of the metrics, of a recording whose file does not tell whether it paused."""
LOST = "lost_channels"
"""Warning code that counts the channels that look like EEG and are no electrode of the model."""


@dataclass(frozen=True)
class QualityRule:
    """An expectation about one column of the catalogue.

    Attributes:
        name: Name in reports.
        severity: ``critical`` quarantines a recording; ``warning`` is counted, and the recording is used.
        code: Reason code or warning code of recordings that break the rule.
        column: Name of the metric.
        least: Smallest allowed value.
        most: Largest allowed value.
    """

    name: str
    severity: Severity
    code: str
    column: str
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True)
class RuleResult:
    """A rule and the recordings that broke it."""

    rule: QualityRule
    recordings: tuple[str, ...]


@dataclass(frozen=True)
class SuiteResult:
    """Result of a suite.

    Attributes:
        outcomes: One per rule, in the order of the suite.
        validation: Great Expectations' result as JSON values; None if there was nothing to check.
    """

    outcomes: tuple[RuleResult, ...]
    validation: dict[str, Any] | None


def recording_rules(recipe: QualityRecipe) -> list[QualityRule]:
    """Return the suite that checks each recording by itself, in the order of reports."""
    unit = math.sqrt(1000.0)
    least_rms, most_rms = recipe.typical_rms_uv / unit, recipe.typical_rms_uv * unit
    slopes = {"least": recipe.min_psd_slope, "most": recipe.max_psd_slope}
    return [
        QualityRule("duration", "critical", Reason.TOO_SHORT, "seconds", least=recipe.min_seconds),
        QualityRule("channels", "critical", Reason.NO_CANONICAL_CHANNELS, "channels", least=recipe.min_channels),
        QualityRule(
            "few lost channels", "critical", Reason.CHANNELS_LOST, "lost_fraction", most=recipe.max_lost_fraction
        ),
        QualityRule("sampling rate", "critical", Reason.LOW_RATE, "rate_hz", least=recipe.min_rate_hz),
        QualityRule("few flat channels", "critical", Reason.FLAT, "flat_fraction", most=recipe.max_flat_fraction),
        QualityRule("unit", "critical", Reason.IMPLAUSIBLE_UNIT, "band_rms_uv", least=least_rms, most=most_rms),
        QualityRule("amplitude", "critical", Reason.EXCESSIVE_AMPLITUDE, "median_sd_uv", most=recipe.max_median_sd_uv),
        QualityRule(
            "few bad channels", "critical", Reason.EXCESSIVE_AMPLITUDE, "bad_fraction", most=recipe.max_bad_fraction
        ),
        QualityRule(
            "few excluded seconds",
            "critical",
            Reason.EXCESSIVE_AMPLITUDE,
            "excluded_fraction",
            most=recipe.max_excluded_fraction,
        ),
        QualityRule("no gaps", "critical", Reason.GAPS, "gap_seconds", most=recipe.max_gap_seconds),
        QualityRule("EEG spectrum", "critical", Reason.NOT_EEG, "psd_slope", **slopes),
        QualityRule(
            "broadband spectrum", "critical", Reason.NOT_EEG, "spectral_flatness", least=recipe.min_spectral_flatness
        ),
        QualityRule("few held samples", "critical", Reason.NOT_EEG, "held_fraction", most=recipe.max_held_fraction),
        QualityRule(
            "distinct channels", "critical", Reason.NOT_EEG, "channel_correlation", most=recipe.max_channel_correlation
        ),
        QualityRule("line noise", "warning", "line_noise", "line_noise_ratio", most=recipe.warn_line_noise_ratio),
        QualityRule("usual slope", "warning", "flat_spectrum", "psd_slope", most=recipe.warn_psd_slope),
        QualityRule("no dropouts", "warning", "dropouts", "dead_seconds", most=recipe.warn_dead_seconds),
        QualityRule("no saturation", "warning", "saturated", "saturated_channels", most=0),
        QualityRule("no clipping", "warning", "clipped", "clipped_samples", most=0),
    ]


def copy_rules() -> list[QualityRule]:
    """Return the suite that checks accepted recordings for copies of others."""
    return [
        QualityRule("no copy", "critical", Reason.DUPLICATE_CONTENT, "copies", most=0),
        QualityRule("no copy of another subject", "critical", Reason.DUPLICATE_SUBJECT, "copies_of_others", most=0),
        QualityRule("one subject only", "warning", SHARED, "copied_by_others", most=0),
    ]


def check_rules(metrics: pd.DataFrame, suite: Sequence[QualityRule]) -> SuiteResult:
    """Check recordings against a suite.

    Args:
        metrics: One row per recording: `recording_id` and the columns of the rules. A missing value breaks no rule of
            severity `warning`. It breaks a critical one, unless the recording breaks another critical rule anyway (a
            flat recording has no spectrum), has fewer than three channels, which have no correlation, or has the
            warning `gaps_unknown`.
        suite: See `recording_rules` and `copy_rules`.
    """
    if metrics.empty:
        return SuiteResult(tuple(RuleResult(rule, ()) for rule in suite), None)
    result = _validate(metrics, suite)
    ordered = sorted(result.results, key=lambda expectation: expectation.expectation_config.meta["rule"])
    outcomes = [RuleResult(rule, _failed_recordings(each)) for rule, each in zip(suite, ordered, strict=True)]
    return SuiteResult(_with_missing(outcomes, metrics), result.to_json_dict())


def broken_rules(metrics: Mapping[Hashable, Any], suite: Sequence[QualityRule]) -> list[QualityRule]:
    """Return the rules that one recording breaks, as `check_rules` does for many, without Great Expectations.

    Args:
        metrics: The columns of the rules.
        suite: See `recording_rules`.
    """
    broken = [rule for rule in suite if _breaks(metrics[rule.column], rule)]
    if any(rule.severity == "critical" for rule in broken):
        return broken
    row = pd.DataFrame([{"recording_id": "", **metrics}])
    return [rule for rule in suite if rule in broken or _without(row, rule)]


def _breaks(value: Any, rule: QualityRule) -> bool:
    if pd.isna(value):
        return False
    return (rule.least is not None and value < rule.least) or (rule.most is not None and value > rule.most)


def _with_missing(outcomes: Sequence[RuleResult], metrics: pd.DataFrame) -> tuple[RuleResult, ...]:
    """Add the recordings without a metric to the critical rules on it, unless another rule quarantines them."""
    critical = (outcome.recordings for outcome in outcomes if outcome.rule.severity == "critical")
    rest = metrics[~metrics["recording_id"].isin({recording for broken in critical for recording in broken})]
    return tuple(
        replace(outcome, recordings=tuple(sorted({*outcome.recordings, *_without(rest, outcome.rule)})))
        for outcome in outcomes
    )


def _without(metrics: pd.DataFrame, rule: QualityRule) -> list[str]:
    """Return the recordings that lack the metric of a critical rule although it can be measured."""
    if rule.severity != "critical":
        return []
    missing = metrics[rule.column].isna()
    if rule.column == "channel_correlation":
        missing &= metrics["channels"] > MAX_CHANNELS_WITHOUT_CORRELATION
    if rule.column == "gap_seconds" and GAPS_UNKNOWN in metrics:
        missing &= ~metrics[GAPS_UNKNOWN]
    return [str(recording) for recording in metrics["recording_id"][missing]]


def _validate(metrics: pd.DataFrame, suite: Sequence[QualityRule]) -> Any:
    """Run Great Expectations in memory, without sending anything."""
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
        batch_parameters={"dataframe": metrics},
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["recording_id"]},
    )


def _failed_recordings(result: Any) -> tuple[str, ...]:
    if result.exception_info.get("raised_exception"):
        raise RuntimeError(f"the rule could not be evaluated: {result.exception_info}")
    return tuple(sorted(str(entry["recording_id"]) for entry in result.result.get("unexpected_index_list") or ()))
