"""The base class of all immutable records that are stored or passed between steps as JSON."""

import hashlib
import json
from typing import Self

from pydantic import BaseModel, ConfigDict

ESCAPED = {"python3": "python\\u0033", "{{$": "{{\\u0024", "/kfp-workspace": "\\u002fkfp-workspace"}
"""Texts that KFP's local runner would change in a task's arguments, and how JSON strings may hold them instead."""


class FrozenModel(BaseModel):
    """Immutable pydantic model with canonical JSON; unknown keys and non-finite numbers are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the model that `to_json` wrote."""
        return cls.model_validate_json(text)

    def to_json(self) -> str:
        """Return canonical JSON: equal models have equal text, so it can be hashed and passed as a task argument."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        for changed, escaped in ESCAPED.items():
            text = text.replace(changed, escaped)
        return text

    def digest(self) -> str:
        """Return the first 12 hexadecimal digits of the SHA-256 of `to_json`."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    def flat(self) -> dict[str, str]:
        """Return all settings by dotted key, such as ``tokenizer.optimiser.peak_lr``; members of lists by name."""
        return flatten(self.model_dump(mode="json"))


def flatten(settings: object, prefix: str = "") -> dict[str, str]:
    """Return nested settings by dotted key; members of lists by name."""
    if isinstance(settings, dict):
        pairs = settings.items()
    elif isinstance(settings, list) and settings and isinstance(settings[0], dict):
        pairs = {item["name"]: item for item in settings}.items()
    else:
        return {prefix: str(settings)}
    return {
        key: value
        for name, inner in pairs
        for key, value in flatten(inner, f"{prefix}.{name}" if prefix else name).items()
    }
