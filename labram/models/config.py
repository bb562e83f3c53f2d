"""Dimensions of LaBraM's models, as frozen dataclasses that can be stored as JSON.

Shape letters used in `labram.models`: B batch, N channels, A seconds (patches per channel), T = 200 samples of a patch,
L = N·A patches of a window, S = 1 + L tokens (the CLS token first), D width, H heads, E head width, M vectors, C code
width, K codes, F frequency bins.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from labram.errors import WeightsError

POSITIONS = 25
"""Time steps per patch after the temporal encoder; width = 25 x conv_channels."""
ROWS = 129
"""Rows of the spatial table: row 0 for the CLS token, row i for the i-th canonical electrode."""

_BLOCK_VALUES = 12
"""Values of a transformer block, in squares of the width: attention has 4, the MLP 8."""

Compatibility = Literal["corrected", "published"]
"""`published` reproduces the published code with its errors, which docs/model.md lists."""
Pooling = Literal["mean", "cls", "channels", "attention", "covariance"]
"""What a head reads. The published model has the first two (`labram.models.pooling` the others)."""
PUBLISHED_POOLINGS = ("mean", "cls")
PatchEmbedding = Literal["temporal", "time-frequency"]
"""`temporal` is the paper's; `time-frequency` adds the log spectrum of each patch (decision 29)."""


@dataclass(frozen=True)
class EncoderConfig:
    """Transformer over patches; LaBraM's three uses of it differ in these flags only."""

    width: int
    depth: int
    heads: int
    qk_norm: bool
    qkv_bias: bool
    layer_scale: float
    final_norm: bool


@dataclass(frozen=True)
class _Config:
    """Dimensions that tokenizer and backbone share."""

    width: int = 200
    conv_channels: int = 8
    depth: int = 12
    heads: int = 10
    codes: int = 8192
    compatibility: Compatibility = "corrected"
    patch_embedding: PatchEmbedding = "temporal"

    def __post_init__(self) -> None:
        self._require_types()
        counts = (self.depth, self.codes, self.heads, self.conv_channels)
        self._require(min(counts) >= 1, "depth, codes, heads, conv_channels", "at least 1")
        self._require(self.width == POSITIONS * self.conv_channels, "width", f"{POSITIONS} x conv_channels")
        self._require(self.conv_channels % 4 == 0, "conv_channels", "a multiple of 4, the number of its groups")
        self._require(self.width % self.heads == 0, "heads", f"a divisor of width {self.width}")
        self._require(self.compatibility in ("corrected", "published"), "compatibility", "corrected or published")
        self._require(
            self.patch_embedding in ("temporal", "time-frequency"), "patch_embedding", "temporal or time-frequency"
        )

    def _require(self, holds: bool, field: str, expected: str) -> None:  # noqa: FBT001
        if not holds:
            raise WeightsError(f"must be {expected}", field=field, remedy="Correct the model's dimensions")

    def _require_types(self) -> None:
        """Raise unless each field has the type of its default; a whole number may stand for a float."""
        for field in dataclasses.fields(self):
            value, expected = getattr(self, field.name), type(field.default)
            sound = type(value) is expected or (expected is float and type(value) is int)
            self._require(sound and not (expected is float and not math.isfinite(value)), field.name, expected.__name__)

    @property
    def least_values(self) -> int:
        """A lower bound of the number of values in the weights of any model of these dimensions."""
        return _BLOCK_VALUES * self.width**2 * self.depth

    def to_json(self) -> dict[str, Any]:
        """Return the dimensions as plain JSON values, the patch embedding only if it is not the paper's."""
        values = dataclasses.asdict(self)
        if self.patch_embedding == "temporal":
            del values["patch_embedding"]
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the configuration that `to_json` described.

        Raises:
            WeightsError: If a field is missing, unknown, or of another type.
        """
        if not isinstance(values, Mapping):
            raise WeightsError(
                "the model's configuration has no fields",
                field="config",
                remedy="Use the config.json that was written with these weights",
            )
        known = {field.name for field in dataclasses.fields(cls)}
        wrong = ", ".join(sorted((known ^ set(values)) - {"patch_embedding"}))
        if wrong:
            raise WeightsError(
                "the model's configuration has missing or unknown fields",
                field=wrong,
                remedy="Use the config.json that was written with these weights",
            )
        return cls(**values)


@dataclass(frozen=True)
class TokenizerConfig(_Config):
    """Neural tokenizer (paper, section 2.2): encoder, codebook, decoder."""

    decoder_depth: int = 3
    code_width: int = 64
    ema_decay: float = 0.99

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(min(self.decoder_depth, self.code_width) >= 1, "decoder_depth, code_width", "at least 1")

    @property
    def least_values(self) -> int:
        """A lower bound of the number of values in the weights."""
        return super().least_values + _BLOCK_VALUES * self.width**2 * self.decoder_depth + self.codes * self.code_width

    @classmethod
    def base(cls) -> Self:
        """Return the dimensions of the released tokenizer."""
        return cls()

    @classmethod
    def large(cls) -> Self:
        """Return the dimensions of the published large tokenizer: twice the encoder's depth at the same width."""
        return cls(depth=24)

    @property
    def encoder(self) -> EncoderConfig:
        """Dimensions of the encoder; the decoder's differ in depth."""
        return EncoderConfig(
            self.width, self.depth, self.heads, qk_norm=False, qkv_bias=True, layer_scale=0.0, final_norm=True
        )

    @property
    def decoder(self) -> EncoderConfig:
        """Dimensions of the decoder."""
        return dataclasses.replace(self.encoder, depth=self.decoder_depth)


@dataclass(frozen=True)
class BackboneConfig(_Config):
    """LaBraM backbone (paper, section 2.1), for pre-training and downstream tasks."""

    layer_scale: float = 0.1
    qk_norm: bool = True
    qkv_bias: bool = False

    @classmethod
    def base(cls) -> Self:
        """Return the dimensions of LaBraM-Base, the released model with 5.8 M parameters."""
        return cls()

    @classmethod
    def large(cls) -> Self:
        """Return the dimensions of LaBraM-Large with 46 M parameters."""
        return cls(width=400, conv_channels=16, depth=24, heads=16, layer_scale=1e-5)

    @classmethod
    def huge(cls) -> Self:
        """Return the dimensions of LaBraM-Huge with 369 M parameters."""
        return cls(width=800, conv_channels=32, depth=48, heads=16, layer_scale=1e-6)

    def encoder(self, *, final_norm: bool) -> EncoderConfig:
        """Return the transformer's dimensions, with or without a LayerNorm after the last block."""
        return EncoderConfig(
            self.width, self.depth, self.heads, self.qk_norm, self.qkv_bias, self.layer_scale, final_norm
        )
