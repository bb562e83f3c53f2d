"""HTTP server of one model version, with the routes of MLflow's scoring server.

A request is checked before anything is computed. What is not EEG, as the model was trained on, is answered with status
422, a sentence and a remedy. Every answer names the model, its version and its commit.
"""

import asyncio
import logging
import math
import socket
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from labram.errors import LabramError, WindowError
from labram.inference import recordings
from labram.inference.predictor import Predictor
from labram.inference.request_body import MAX_PATCHES_PER_REQUEST, InferenceRequest
from labram.inference.served import Served
from labram.inference.signal_checks import check_length, check_shape, electrodes, in_microvolts
from labram.input_spec import MAX_PATCHES, SAMPLE_RATE_HZ

JSON = "application/json"
GRACE_SECONDS = 20
_DRAINED = 8
"""Multiple of the limit of a body that is received before the connection is closed."""
_CODES = {
    404: "ENDPOINT_NOT_FOUND",
    422: "INVALID_PARAMETER_VALUE",
    500: "INTERNAL_ERROR",
    503: "REQUEST_LIMIT_EXCEEDED",
}
"""MLflow's error codes by status."""
_LOG = logging.getLogger(__name__)
_SENTENCES = {
    404: ("there is no such route", "Use POST /invocations, or GET /ping, /health or /version"),
    405: ("the route does not have this method", "Use POST /invocations, or GET /ping, /health or /version"),
}


@dataclass(frozen=True)
class Limits:
    """Bounds on what clients can make the server hold and do.

    Attributes:
        body_bytes: Longest body that is read into memory.
        requests: Requests that are read, wait or are computed at once; one at a time is computed.
        read_seconds: Longest time in which a body may arrive.
    """

    body_bytes: int = 32 * 2**20
    requests: int = 16
    read_seconds: float = 60.0


def application(predictor: Predictor, served: Served, limits: Limits | None = None) -> FastAPI:
    """Return the ASGI application that serves a model.

    Args:
        predictor: The loaded model.
        served: Its version.
        limits: Limits; default: those of `Limits`.
    """
    app = FastAPI(title="labram", docs_url=None, redoc_url=None, openapi_url=None)
    server = _Server(predictor, served, limits or Limits())
    app.post("/invocations")(server.invocations)
    for route in ("/ping", "/health", "/version"):
        app.get(route)(server.identity)
    app.exception_handler(HTTPException)(server.http_error)
    app.exception_handler(Exception)(server.defect)
    return app


class _Server:
    def __init__(self, predictor: Predictor, served: Served, limits: Limits) -> None:
        self._predictor, self._limits = predictor, limits
        self._identity = {"model": served.model, "version": served.version, "commit": served.commit}
        self._open = 0
        self._turn = asyncio.Lock()

    async def identity(self) -> JSONResponse:
        """Answer which model is served: the server listens only once it is loaded."""
        return JSONResponse(self._identity)

    async def invocations(self, request: Request) -> JSONResponse:
        """Predict from the signals of a request."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
            return self._error(415, "the body is not of type application/json", "Send Content-Type: application/json")
        if request.headers.get("content-encoding", "identity") != "identity":
            return self._error(415, "the body is compressed", "Send it without Content-Encoding")
        if self._open >= self._limits.requests:
            answer = self._error(503, f"{self._open} requests are waiting", "Send the request again in some seconds")
            answer.headers["Retry-After"] = "5"
            return answer
        self._open += 1
        try:
            body = await self._read(request)
            async with self._turn:
                answered = await asyncio.to_thread(predict, self._predictor, body)
            return JSONResponse({**answered, **self._identity})
        except LabramError as error:
            return self._error(422, error.problem, error.remedy, error.field)
        except TimeoutError:
            return self._error(408, "the body did not arrive in time", "Send fewer windows in a request")
        except ClientDisconnect:
            return self._error(400, "the client closed the connection", "Send the request again")
        finally:
            self._open -= 1

    async def _read(self, request: Request) -> bytes:
        """Return the body. One that is too long is received without keeping it: a client reads once it has sent."""
        limit, size = self._limits.body_bytes, 0
        chunks: list[bytes] = []
        async with asyncio.timeout(self._limits.read_seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size <= limit:
                    chunks.append(chunk)
                else:
                    chunks.clear()
                if size > _DRAINED * limit:
                    break
        if size > limit:
            raise WindowError(
                f"the body is longer than {limit} bytes",
                field="body",
                remedy=f"Send at most {MAX_PATCHES_PER_REQUEST // MAX_PATCHES} windows of {MAX_PATCHES} patches in a "
                "request, and numbers with few digits",
            )
        return b"".join(chunks)

    async def http_error(self, _: Request, error: Exception) -> JSONResponse:
        """Answer a request that reaches no route."""
        assert isinstance(error, HTTPException)
        problem, remedy = _SENTENCES.get(error.status_code, (str(error.detail), "Check the request"))
        return self._error(error.status_code, problem, remedy)

    async def defect(self, _: Request, error: Exception) -> JSONResponse:
        """Answer after an unexpected error, which is in the log of the server alone."""
        _LOG.error("unexpected error of a request", exc_info=error)
        return self._error(500, "labram failed", "Report this defect with the log of the server")

    def _error(self, status: int, problem: str, remedy: str, field: str | None = None) -> JSONResponse:
        message = f"{field + ': ' if field else ''}{problem}. {remedy}."
        content = {"error_code": _CODES.get(status, "BAD_REQUEST"), "message": message, "field": field}
        return JSONResponse({**content, "problem": problem, "remedy": remedy, **self._identity}, status)


def predict(predictor: Predictor, body: bytes) -> dict[str, Any]:
    """Return predictions, channels and, for a task model, its task and classes, as JSON values.

    Raises:
        LabramError: If the request is invalid; nothing was computed then.
    """
    request = InferenceRequest.parse(body)
    _check_size(request, predictor.quality.min_rate_hz)
    if request.is_recording:
        predictions = _predict_recording(predictor, request)
    elif request.preprocess or request.seconds is not None:
        raise WindowError(
            "expected a continuous recording with 2 dimensions to filter or cut",
            field="preprocess, seconds",
            remedy="Pass the continuous recording as [channels, samples]",
        )
    else:
        predictions = predictor.predict(request.signals, request.channels, request.sfreq, request.unit)
    task = predictor.task.recipe if predictor.task else None
    return {
        "predictions": predictions.tolist(),
        "channels": list(electrodes(request.channels).names),
        **({"task": task.name, "classes": list(task.classes)} if task else {}),
    }


def _check_size(request: InferenceRequest, least_hz: float) -> None:
    signals = request.signals[np.newaxis] if request.is_recording else request.signals
    check_shape(signals, request.channels, request.sfreq, least_hz)
    patches = math.ceil(signals.size / request.sfreq)
    if patches > MAX_PATCHES_PER_REQUEST:
        raise WindowError(
            f"expected at most {MAX_PATCHES_PER_REQUEST} seconds of all channels together, got {patches}",
            field="signals",
            remedy="Send the windows in several requests",
        )


def _predict_recording(predictor: Predictor, request: InferenceRequest) -> npt.NDArray[Any]:
    known = electrodes(request.channels)
    signals = in_microvolts(request.signals, request.unit)
    if request.preprocess:
        recording = recordings.filtered(
            signals,
            request.channels,
            known,
            request.sfreq,
            line_freq_hz=request.line_freq_hz,
            settings=predictor.preprocessing,
        )
    else:
        recording = recordings.at_model_rate(signals, known, request.sfreq)
    trained = predictor.task.recipe.seconds if predictor.task else None
    windows = recordings.cut(recording, trained if request.seconds is None else request.seconds)
    check_length(windows, SAMPLE_RATE_HZ)
    predictor.check_filtered(windows, known.names, SAMPLE_RATE_HZ, request.unit)
    return predictor.predict_subject(windows, known.names)


def run(app: FastAPI, listening: socket.socket) -> None:
    """Serve an application on a listening socket until SIGTERM or Ctrl-C; requests under way are answered first."""
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=GRACE_SECONDS)
    uvicorn.Server(config).run(sockets=[listening])
