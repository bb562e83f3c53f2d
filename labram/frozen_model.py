"""The base class of all immutable records that are stored or passed between steps as JSON."""

import hashlib
import json
from typing import Self

from pydantic import BaseModel, ConfigDict


class FrozenModel(BaseModel):
    """Immutable pydantic model with canonical JSON; unknown keys and non-finite numbers are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the model that `to_json` wrote."""
        return cls.model_validate_json(text)

    def to_json(self) -> str:
        """Return canonical JSON: equal models have equal text, so it can be hashed and passed as a task argument."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    def digest(self) -> str:
        """Return the first 12 hexadecimal digits of the SHA-256 of `to_json`."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]
