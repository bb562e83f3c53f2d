"""Requests of inference as JSON: bounds on structure before parsing, and the fields of MLflow's protocol."""

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from labram.errors import WindowError
from labram.inference.signal_checks import label_tuple
from labram.input_spec import MAX_PATCHES, SAMPLE_RATE_HZ

MAX_DEPTH = 8
MAX_LISTS = 40_000
"""Lists and objects in a body: one per window, and one per channel of each window."""
MAX_STRINGS = 1000
MAX_STRING_BYTES = 1000
MAX_PATCHES_PER_REQUEST = 64 * MAX_PATCHES
PARAMS = ("channels", "sfreq", "unit", "preprocess", "line_freq_hz", "seconds")
_EXAMPLE = 'Send {"inputs": {"signals": [[[…]]]}, "params": {"channels": ["FP1", …], "sfreq": 200, "unit": "uV"}}'
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+("?)|[\[{]|[\]}]', re.DOTALL)


@dataclass(frozen=True)
class InferenceRequest:
    """Signals and parameters of a request; `labram.inference.signal_checks` checks their values.

    Attributes:
        signals: Numbers as sent, [windows, channels, samples], or [channels, samples] of a continuous recording.
        channels: Names of the channels.
        sfreq: Sampling rate in Hz.
        unit: Unit of the signals.
        preprocess: Whether the signals are a continuous, unfiltered recording.
        line_freq_hz: Power line frequency at the place of recording; required if `preprocess` is true.
        seconds: Length of the windows that a recording is cut into.
    """

    signals: npt.NDArray[np.float64]
    channels: tuple[str, ...] = ()
    sfreq: float = SAMPLE_RATE_HZ
    unit: str = "uV"
    preprocess: bool = False
    line_freq_hz: float | None = None
    seconds: int | None = None

    @property
    def is_recording(self) -> bool:
        """Whether the signals are a continuous recording."""
        return self.signals.ndim == 2

    @classmethod
    def parse(cls, body: bytes) -> "InferenceRequest":
        """Parse a body in MLflow's format. Time and memory are proportional to its length.

        Raises:
            WindowError: If it is not JSON, nested too deeply, or lacks a field; names the field.
        """
        check_structure(body)
        content = _json(body)
        params = _object(content.get("params", {}), "params", PARAMS)
        if not isinstance(params.get("preprocess", False), bool):
            raise WindowError(
                f"expected true or false, got {params['preprocess']!r}", field="preprocess", remedy="Send a boolean"
            )
        channels = label_tuple(params.get("channels", ()))
        return cls(_numbers(_signals(content)), **{**params, "channels": channels})


def check_structure(body: bytes) -> None:
    """Check depth, and number of lists and texts, of JSON without parsing it.

    Raises:
        WindowError: If a limit is exceeded.
    """
    depth = lists = strings = 0
    for token in _TOKEN.finditer(body):
        character = body[token.start()]
        if character == ord('"'):
            strings += 1
            if not token[1]:
                raise _not_json("a text has no end")
            if token.end() - token.start() > MAX_STRING_BYTES or strings > MAX_STRINGS:
                raise _too_complex(f"more than {MAX_STRINGS} texts, or one longer than {MAX_STRING_BYTES} bytes")
        elif character in b"[{":
            depth, lists = depth + 1, lists + 1
            if depth > MAX_DEPTH:
                raise _too_complex(f"lists and objects nested more than {MAX_DEPTH} deep")
            if lists > MAX_LISTS:
                raise _too_complex(f"more than {MAX_LISTS} lists and objects")
        else:
            depth -= 1


def _json(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body.decode("utf-8-sig"), object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        raise _not_json(str(error)) from error
    return _object(content, "body", ("inputs", "instances", "params"))


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object whose names differ: of two equal ones, nobody knows which is meant."""
    found = dict(pairs)
    if len(found) < len(pairs):
        repeated = next(name for number, (name, _) in enumerate(pairs) if name in dict(pairs[:number]))
        raise ValueError(f"the field {repeated!r} is repeated")
    return found


def _object(content: object, field: str, allowed: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise WindowError(f"expected a JSON object, got {_kind(content)}", field=field, remedy=_EXAMPLE)
    unknown = sorted(content.keys() - set(allowed))
    if unknown:
        raise WindowError(
            f"unknown field{'s' if len(unknown) > 1 else ''} {', '.join(map(repr, unknown[:5]))}",
            field=field,
            remedy=f"Use {', '.join(allowed)}",
        )
    return content


def _signals(content: dict[str, Any]) -> object:
    """Return the value of `inputs` or `instances`, which may name its only tensor."""
    sent = [content[key] for key in ("inputs", "instances") if key in content]
    if len(sent) != 1:
        raise WindowError("expected one of inputs and instances", field="inputs", remedy=_EXAMPLE)
    (value,) = sent
    if isinstance(value, dict):
        value = _object(value, "inputs", ("signals",)).get("signals")
    elif isinstance(value, list) and value and all(isinstance(window, dict) for window in value):
        value = [_object(window, "instances", ("signals",)).get("signals") for window in value]
    if not isinstance(value, list):
        raise WindowError(f"expected lists of numbers, got {_kind(value)}", field="signals", remedy=_EXAMPLE)
    return value


def _numbers(signals: Any) -> npt.NDArray[np.float64]:
    _check_numbers(signals)
    try:
        return np.asarray(signals, dtype=np.float64)
    except (ValueError, OverflowError) as error:
        raise WindowError(
            "signals are not an array: windows or channels differ in length, or a number is too large",
            field="signals",
            remedy="Pass windows and channels of equal length",
        ) from error


def _check_numbers(part: list[Any]) -> None:
    kinds = set(map(type, part))
    if kinds == {list}:
        for child in part:
            _check_numbers(child)
    elif not kinds <= {int, float}:
        wrong = next(value for value in part if type(value) not in (int, float))
        raise WindowError(
            f"expected lists of numbers, got {_kind(wrong)} in one",
            field="signals",
            remedy="Send an array of numbers; leave out windows with missing samples",
        )


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _not_json(reason: str) -> WindowError:
    return WindowError(f"the body is not JSON: {reason}", field="body", remedy=_EXAMPLE)


def _too_complex(problem: str) -> WindowError:
    return WindowError(
        f"the body has {problem}",
        field="body",
        remedy=f"Send at most {MAX_PATCHES_PER_REQUEST // MAX_PATCHES} windows of {MAX_PATCHES} patches in a request",
    )
