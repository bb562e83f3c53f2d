"""Embeddings and codes of recordings, in bounded memory.

Letters: n windows, N channels, A seconds, L layers, K values of a pooled vector.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from labram.errors import MisfitWeightsError, Reason
from labram.events import Monitor
from labram.inference.embedder import LayerEmbedder
from labram.inference.find_recordings import Source
from labram.inference.predict_recordings import (
    IDENTITY,
    REMARKS,
    PredictedGroup,
    Row,
    describe_windows,
    in_order,
    parts,
    reason_row,
)
from labram.inference.predictor import Predictor
from labram.inference.prepare import Prepared, Settings, prepare_groups
from labram.inference.reasons import NO_WINDOW, TOO_MANY_CHANNELS
from labram.inference.served import Served
from labram.inference.unlabelled import UnlabelledWindows, cut
from labram.input_spec import MAX_PATCHES
from labram.models.downstream import DownstreamModel
from labram.models.tokenizer import Tokenizer
from labram.recipe import AlignmentRecipe, WindowPooling
from labram.store.store import Store

VECTOR = pa.list_(pa.float32())
CODES = pa.list_(pa.int64())
Rows = Callable[[UnlabelledWindows], Iterator[Row]]
"""Rows of the windows of one person."""


@dataclass(frozen=True)
class WindowReader:
    """What is computed from the windows of recordings without a task.

    Attributes:
        predictor: The loaded model.
        served: Its name and version.
        seconds: Length of the windows; None: the longest that fit.
        rows: Computes the rows.
        columns: Names and types of their columns.
        alignment: Alignment of the windows.
    """

    predictor: Predictor
    served: Served
    seconds: int | None
    rows: Rows
    columns: Mapping[str, type | pa.DataType]
    alignment: AlignmentRecipe

    def unfit(self, recording: Prepared) -> str:
        """Return why the model cannot read a recording; empty if it can."""
        if recording.reason:
            return recording.reason
        if len(recording.channels) * (self.seconds or 1) > MAX_PATCHES:
            return TOO_MANY_CHANNELS
        return str(Reason.TOO_SHORT) if recording.seconds < (self.seconds or 1) else ""


def embedding_reader(
    predictor: Predictor,
    served: Served,
    *,
    pooling: WindowPooling = "mean",
    layers: Sequence[int] = (),
    seconds: int | None = None,
    by: Literal["window", "recording"] = "window",
) -> WindowReader:
    """Return a reader of embeddings: columns ``embedding``, or ``layer_1`` and so on if layers are named.

    Args:
        predictor: A backbone or a task model, whose alignment is applied.
        served: Its name and version.
        pooling: See `DownstreamModel.embed`.
        layers: Blocks, from 1; empty: the last.
        seconds: Length of the windows; None: that of the task, else the longest that fit.
        by: A row per window, or the mean over the windows of a recording.

    Raises:
        MisfitWeightsError: If the model is a tokenizer.
        RecipeError: If the model does not have these layers.
    """
    model = predictor.model
    if not isinstance(model, DownstreamModel):
        raise MisfitWeightsError(
            "a tokenizer has no embeddings", file=served.model, remedy="Name a backbone or a task model"
        )
    embedder = LayerEmbedder(model, pooling, layers)
    names = [f"layer_{layer}" for layer in embedder.layers] if layers else ["embedding"]
    trained = predictor.task.recipe.seconds if predictor.task else None

    def rows(windows: UnlabelledWindows) -> Iterator[Row]:
        vectors = _by_window(windows, embedder)
        for part in parts(windows, by):
            mean = np.mean([vectors[row] for row in part], axis=0)
            yield {**describe_windows(windows, part), **dict(zip(names, mean.tolist(), strict=True))}

    columns = {**IDENTITY, **dict.fromkeys(names, VECTOR), **REMARKS}
    return WindowReader(predictor, served, seconds or trained, rows, columns, predictor.alignment)


def code_reader(predictor: Predictor, served: Served, *, seconds: int | None = None) -> WindowReader:
    """Return a reader of codes: a row for each window and electrode, with a code per second in ``codes``.

    Args:
        predictor: A tokenizer.
        served: Its name and version.
        seconds: Length of the windows, on which codes depend; None: the longest that fit.

    Raises:
        MisfitWeightsError: If the model is no tokenizer.
    """
    if not isinstance(predictor.model, Tokenizer):
        raise MisfitWeightsError("only a tokenizer has codes", file=served.model, remedy="Name a tokenizer")

    def rows(windows: UnlabelledWindows) -> Iterator[Row]:
        codes = _by_window(windows, predictor.predict_prepared)
        for (row,) in parts(windows, "window"):
            channels = windows.recordings[row].channels
            by_channel = np.asarray(codes[row]).reshape(len(channels), -1)
            for channel, values in zip(channels, by_channel.tolist(), strict=True):
                yield {**describe_windows(windows, [row]), "electrode": channel, "codes": values}

    columns = {**IDENTITY, "electrode": str, "codes": CODES, **REMARKS}
    return WindowReader(predictor, served, seconds, rows, columns, AlignmentRecipe())


def read_recordings(
    reader: WindowReader, sources: Sequence[Source], *, store: Store, workers: int = 1, monitor: Monitor
) -> Iterator[PredictedGroup]:
    """Yield the rows of each group of recordings, in the order of the sources, as `predict_recordings` does.

    Args:
        reader: What to compute.
        sources: The recordings.
        store: A temporary store for patches.
        workers: See `labram.inference.prepare.prepare_groups`.
        monitor: Receives progress, recording by recording.
    """
    settings = Settings(reader.predictor.preprocessing, reader.predictor.quality)
    by_subject = reader.alignment.kind != "none"
    groups = prepare_groups(sources, store, settings, by_subject=by_subject, workers=workers, monitor=monitor)
    yield from in_order((number, _read_group(reader, group, store)) for number, group in groups)


def _read_group(reader: WindowReader, group: Sequence[Prepared], store: Store) -> PredictedGroup:
    reasons = {recording.name: reader.unfit(recording) for recording in group}
    usable = [recording for recording in group if not reasons[recording.name]]
    windows = cut(usable, store, reader.seconds, reader.alignment)
    cut_from = {recording.name for recording in windows.recordings}
    reasons |= {recording.name: NO_WINDOW for recording in usable if recording.name not in cut_from}
    named = {"model": reader.served.model, "version": reader.served.version}
    rows = [{**row, **named} for row in reader.rows(windows)] if len(windows) else []
    rows += [reason_row(reader.served, each, reasons[each.name]) for each in group if reasons[each.name]]
    return PredictedGroup(rows, group, [(name, reason) for name, reason in reasons.items() if reason])


def _by_window(
    windows: UnlabelledWindows, compute: Callable[[npt.NDArray[np.float32], Sequence[str]], npt.NDArray[Any]]
) -> list[npt.NDArray[Any]]:
    """Return the result of each window; results of different montages may have different shapes."""
    groups = windows.windows.window_groups()
    return [result for group in groups for part in group.signals for result in compute(part, group.channels)]
