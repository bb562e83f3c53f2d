"""A name is planted wherever a recording can hold one, and sought in every byte that a run leaves behind.

All steps run in one process: plan_run, ingest, quality, training, fine-tuning, evaluation, registry,
gates, promotion and report, with MLflow. Then every file of the workspace, of the temporary folder and of the home
folder is read, names of files included, packed ones unpacked, and so is what the process printed.
"""

import datetime
import gzip
import json
import os
import sqlite3
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import edfio
import mne
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pybv
import pytest
import scipy.io

from labram import recipe as recipes
from labram.corpus.catalogue import Corpus

NAME = "Qanaria"
BORN, RECORDED = datetime.date(1923, 4, 17), datetime.datetime(1997, 11, 28, 13, 37, 42, tzinfo=datetime.UTC)
SOUGHT = [
    text.encode(encoding)
    for text in (
        "qanaria",
        "1923-04-17",
        "17-apr-1923",
        "19230417",
        "1957-11-28",
        "28-nov-1957",
        "28.11.57",
        "19571128",
    )
    for encoding in ("utf-8", "utf-16-le", "utf-16-be")
]
LABELS, RATE, SECONDS = ("Fp1", "Fp2", "C3", "C4", "O1", "O2"), 100, 12
CHANNELS = (*LABELS, NAME)


def noise(seed: int, seconds: int = SECONDS) -> np.ndarray:
    """Brown noise in µV, [channels, samples]."""
    walk = np.cumsum(np.random.default_rng(seed).standard_normal((len(CHANNELS), seconds * RATE)), axis=1)
    return walk - walk.mean(axis=1, keepdims=True)


def edf(path: Path, seed: int, *, kind: type = edfio.Edf) -> Path:
    """With the name in all fields that have text, reserved ones and those of each signal too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    channel = edfio.BdfSignal if kind is edfio.Bdf else edfio.EdfSignal
    texts = {"transducer_type": NAME, "prefiltering": NAME, "physical_dimension": "uV"}
    kind(
        [channel(row, RATE, label=label, **texts) for row, label in zip(noise(seed), CHANNELS, strict=True)],
        patient=edfio.Patient(code=NAME, name=f"{NAME}_Anna", birthdate=BORN, additional=[NAME]),
        recording=edfio.Recording(
            startdate=RECORDED.date(), hospital_administration_code=NAME, investigator_technician_code=NAME,
            equipment_code=NAME, additional=[NAME],
        ),
        starttime=RECORDED.time(),
        annotations=[edfio.EdfAnnotation(1.0, None, f"{NAME} opens her eyes"), edfio.EdfAnnotation(2.0, 1.0, NAME)],
        data_record_duration=1,
    ).write(path)  # fmt: skip
    content = bytearray(path.read_bytes())
    signals = int(content[252:256])
    content[256 + 224 * signals : 256 + 224 * signals + len(NAME)] = NAME.encode()
    path.write_bytes(content)
    return path


def brainvision(folder: Path) -> list[Path]:
    pybv.write_brainvision(
        data=noise(12) * 1e-6, sfreq=RATE, ch_names=list(CHANNELS), fname_base=NAME, folder_out=folder,
        events=[{"onset": 100, "description": f"{NAME} coughs", "type": "Comment", "channels": "all"}],
        meas_date=RECORDED.replace(tzinfo=None),
    )  # fmt: skip
    header = folder / f"{NAME}.vhdr"
    header.write_text(header.read_text(encoding="utf-8") + f"{NAME} from {NAME}town\n", encoding="utf-8")
    return [header, folder / f"{NAME}.vmrk"]


def fif(path: Path) -> Path:
    info = mne.create_info(list(CHANNELS), RATE, "eeg")
    raw = mne.io.RawArray(noise(13) * 1e-6, info, verbose="ERROR")
    raw.info.update(
        subject_info={"id": 7, "his_id": NAME, "last_name": NAME, "first_name": NAME, "birthday": BORN},
        description=NAME, experimenter=NAME, proj_name=NAME,
    )  # fmt: skip
    raw.set_meas_date(RECORDED)
    raw.set_annotations(mne.Annotations([1.0], [0.5], [f"{NAME} moved"], orig_time=RECORDED))
    raw.save(path, verbose="ERROR")
    return path


def eeglab(path: Path) -> Path:
    event = np.array([(NAME, 100.0, 1.0)], dtype=[("type", object), ("latency", object), ("duration", object)])
    scipy.io.savemat(
        path,
        {
            "EEG": {
                **dict.fromkeys(("setname", "filename", "subject", "comments", "group", "condition", "history"), NAME),
                "nbchan": float(len(CHANNELS)), "pnts": float(SECONDS * RATE), "trials": 1.0, "srate": float(RATE),
                "xmin": 0.0, "xmax": SECONDS - 1 / RATE, "times": np.arange(SECONDS * RATE) / RATE,
                "data": noise(14), "icawinv": [], "event": event, "epoch": [],
                "chanlocs": np.array([(name,) for name in CHANNELS], dtype=[("labels", object)]),
            }
        },
    )  # fmt: skip
    return path


def xdf(path: Path) -> Path:
    """One stream of EEG and one of markers."""

    def chunk(tag: int, content: bytes) -> bytes:
        return b"\x04" + struct.pack("<IH", len(content) + 2, tag) + content

    def stream(number: int, kind: str, form: str, rate: int, channels: tuple[str, ...], samples: list[bytes]) -> bytes:
        names = "".join(f"<channel><label>{name}</label><unit>uV</unit></channel>" for name in channels)
        header = (
            f"<info><name>{NAME}</name><type>{kind}</type><channel_count>{len(channels)}</channel_count>"
            f"<nominal_srate>{rate}</nominal_srate><channel_format>{form}</channel_format><source_id>{NAME}</source_id>"
            f"<hostname>{NAME}</hostname><created_at>{RECORDED}</created_at>"
            f"<desc><subject>{NAME}</subject><channels>{names}</channels></desc></info>"
        )
        stamps = (b"\x08" + struct.pack("<d", 5.0 + i / RATE) for i in range(len(samples)))
        body = b"".join(map(bytes.__add__, stamps, samples))
        footer = f"<info><sample_count>{len(samples)}</sample_count></info>"
        own = struct.pack("<I", number)
        return (
            chunk(2, own + header.encode())
            + chunk(3, own + b"\x04" + struct.pack("<I", len(samples)) + body)
            + chunk(6, own + footer.encode())
        )

    eeg = [row.tobytes() for row in np.ascontiguousarray(noise(15).T)]
    path.write_bytes(
        b"XDF:"
        + chunk(1, b"<info><version>1.0</version></info>")
        + stream(1, "EEG", "double64", RATE, CHANNELS, eeg)
        + stream(2, "Markers", "string", 0, (NAME,), [b"\x01" + bytes([len(NAME)]) + NAME.encode()])
    )
    return path


def texts(folder: Path) -> list[Path]:
    """MuseLSL CSV and the UCI database's format, with the name where their headers have names."""
    muse, trial = folder / f"{NAME}.csv", folder / f"co2a{NAME}.rd.000.gz"
    rows = [f"{1e9 + i / 256:.4f},{','.join(f'{x:.3f}' for x in noise(16, 40)[:5, i])}" for i in range(256 * 12)]
    muse.write_text("\n".join([f"timestamps,TP9,AF7,AF8,TP10,{NAME}", *rows, ""]))
    lines = [f"# co2a{NAME}.rd", f"# {NAME}", "# 3.906000 msecs uV", f"# {NAME} match, trial 0"]
    for channel, values in zip(CHANNELS, noise(17, 3), strict=True):
        lines += [f"# {channel} chan 0", *(f"0 {channel} {i} {values[i]:.3f}" for i in range(256))]
    trial.write_bytes(gzip.compress("\n".join(lines).encode()))
    return [muse, trial]


def bids(folder: Path) -> list[Path]:
    """A study of one recording; the name is that of the subject and stands in all sidecars."""
    place, stem = folder / f"sub-{NAME}" / "eeg", f"sub-{NAME}_task-{NAME}"
    edf(place / f"{stem}_eeg.edf", 18)
    sidecars = {
        folder / "dataset_description.json": json.dumps({"Name": NAME, "BIDSVersion": "1.10.0", "Authors": [NAME]}),
        folder / "participants.tsv": f"participant_id\tname\tbirth\nsub-{NAME}\t{NAME}\t{BORN}\n",
        folder / "README": NAME,
        place / f"{stem}_eeg.json": json.dumps({"EEGReference": f"nose of {NAME}", "InstitutionName": NAME}),
        place / f"{stem}_channels.tsv": f"name\ttype\tunits\n{NAME}\tEEG\tuV\n",
        place / f"{stem}_events.tsv": f"onset\tduration\ttrial_type\n1.0\t0\t{NAME}\n",
        folder
        / f"sub-{NAME}"
        / f"sub-{NAME}_scans.tsv": f"filename\tacq_time\n{stem}_eeg.edf\t{RECORDED.isoformat()}\n",
    }
    for path, text in sidecars.items():
        path.write_text(text)
    return [*sidecars, place / f"{stem}_eeg.edf"]


def refused(folder: Path) -> None:
    """Files that end in the quarantine, for as many reasons as there are messages that could quote them."""
    whole = edf(folder / f"{NAME} whole.edf", 19).read_bytes()
    (folder / f"{NAME} cut.edf").write_bytes(whole[: len(whole) // 2])
    (folder / f"{NAME} header.edf").write_bytes(whole[:300])
    (folder / f"{NAME} signature.edf").write_bytes(NAME.encode() * 100)
    (folder / f"{NAME} empty.bdf").touch()
    (folder / f"{NAME} absent.edf").symlink_to(folder / f"{NAME} nowhere")
    (folder / f"{NAME} alone.vhdr").write_text(
        f"Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nDataFile={NAME}.dat\n"
    )
    for suffix in ("fif", "gdf", "set", "xdf", "cnt", "e"):
        (folder / f"{NAME} nonsense.{suffix}").write_bytes(NAME.encode() * 100)


FORMATS = {"edf", "bdf", "gdf", "fif", "set", "xdf", "vhdr", "csv", "gz"}
RUN = """
import sys
from pathlib import Path
from labram.platform.workspace import CORPUS_PLACEHOLDER
from labram.recipe import Recipe
from labram.steps import evaluate, finetune, gate, ingest, pretrain, promote
from labram.steps import plan_run, quality, register, report, tokenizer
place, text = sys.argv[1:]
recipe, out = Recipe.from_json(text), Path(place) / "pipeline"
task, at = recipe.tasks[0], lambda name: str(out / name)
plan = plan_run.plan_run(data=CORPUS_PLACEHOLDER, workspace=place, recipe=text, force=False, pipeline="retrain")
common = {"workspace": place}
ingest.ingest(
    **common,
    data=CORPUS_PLACEHOLDER,
    shard="0/1",
    datasets=[],
    preprocessing=recipe.preprocessing.to_json(),
    out=at("part"),
)
quality.quality(
    **common, parts=[at("part")], label_sources={task.name: task.dataset}, thresholds=recipe.quality.to_json(),
    split=recipe.split.to_json(), seed=0, out=at("corpus"),
)
common["corpus"] = at("corpus")
shown = {"summary": at("summary.md")}
model = {**shown, "architecture": recipe.architecture.to_json(), "seed": 0}
tokenizer.tokenizer(**common, **model, settings=recipe.tokenizer.to_json(), out=at("tokenizer"))
pretrain.pretrain(
    **common, **model, tokenizer=at("tokenizer"), settings=recipe.pretraining.to_json(), out=at("backbone")
)
finetune.finetune(**common, **shown, backbone=at("backbone"), task=task.to_json(), seed=0, out=at("task"))
evaluate.evaluate(
    **common, **shown, corpus_version=plan.corpus_version, model=at("task"), task=task.to_json(),
    gates=recipe.gates.to_json(), seed=0, out=at("scored"),
)
known = {**common, "recipe": text, "tokenizer": at("tokenizer"), "evaluations": [at("scored")]}
version = {"corpus_version": plan.corpus_version, "backbone": at("backbone")}
register.register(**known, **version, models=[at("task")], out=at("versions"))
gate.gate(**known, **shown, versions=at("versions"), out=at("verdicts"))
promote.promote(workspace=place, versions=at("versions"), verdicts=at("verdicts"), out=at("promotions"))
report.report(**known, **version, **shown, verdicts=at("verdicts"), promotions=at("promotions"), out=at("report"))
"""
STAGE = {
    "steps": 1, "warmup_steps": 0, "micro_batches": 1, "patches": 128, "log_every": 1, "validate_every": 1,
    "checkpoint_every": 1, "validation_batches": 1, "threads": 1,
}  # fmt: skip


def recipe() -> str:
    """The demo with everything as small as can be, and the task of the planted dataset."""
    settings = recipes.load("demo").model_dump(mode="json")
    settings |= {"name": "canary", "corpus": {"datasets": [], "shards": 1}, "split": {"validation": 0.2, "test": 0.34}}
    settings["split"]["few_subjects"] = "allow"
    settings["architecture"] |= {"depth": 1, "decoder_depth": 1, "codes": 16, "code_width": 8}
    settings["gates"] |= {"min_used_codes": 1, "min_perplexity": 1.0, "bootstrap": 10}
    for stage in ("tokenizer", "pretraining"):
        settings[stage] |= STAGE
    settings["tokenizer"]["min_perplexity"] = 1.0
    (task,) = (
        task for task in recipes.load("real-small").model_dump(mode="json")["tasks"] if task["name"] == "workload"
    )
    settings["tasks"] = [task | {"epochs": 1, "warmup_epochs": 0.0}]
    return recipes.Recipe.model_validate(settings).to_json()


@dataclass(frozen=True)
class Trace:
    """What a run leaves behind: its workspace, its home and temporary folders, and what it said."""

    workspace: Path
    folders: tuple[Path, ...]
    said: str


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, write_gdf: Callable[..., Path]) -> Path:
    """A corpus with the name everywhere: files of all formats, a BIDS study, a dataset with labels, refused files."""
    folder = tmp_path_factory.mktemp("raw") / f"{NAME} archive"
    loose = folder / f"{NAME} ward"
    loose.mkdir(parents=True)
    files = [
        edf(loose / f"{NAME} Anna 1923-04-17.edf", 1), edf(loose / f"{NAME}.bdf", 2, kind=edfio.Bdf),
        write_gdf(loose / f"{NAME}.gdf", noise(11), CHANNELS, RATE, text=NAME, begun=f"{RECORDED:%Y%m%d%H%M%S}"),
        fif(loose / f"{NAME}_raw.fif"), eeglab(loose / f"{NAME}.set"),
        xdf(loose / f"{NAME}.xdf"), *brainvision(loose), *texts(loose), *bids(folder / f"{NAME} study"),
        *(edf(folder / f"{NAME} eegmat" / f"Subject{i // 2:02d}_{i % 2 + 1}.edf", 100 + i) for i in range(12)),
    ]  # fmt: skip
    assert [path.name for path in files if not any(findings(path, unpacked(path)))] == [], "nothing is planted there"
    (folder / f"{NAME} eegmat" / "subject-info.csv").write_text(f"Subject,Name\nSubject00,{NAME}\n")
    (folder / f"{NAME} refused").mkdir()
    refused(folder / f"{NAME} refused")
    return folder


@pytest.fixture(scope="module")
def trace(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Trace:
    place = tmp_path_factory.mktemp("run")
    folders = {name: place / name for name in ("workspace", "home", "tmp")}
    for folder in folders.values():
        folder.mkdir()
    inherited = {key: text for key, text in os.environ.items() if not key.startswith(("MLFLOW_", "LABRAM_", "XDG_"))}
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(folders["workspace"]), recipe()],
        capture_output=True,
        text=True,
        cwd=place,
        env={
            **inherited, "LABRAM_CORPUS": str(corpus), "LABRAM_RUN": "canary", "HOME": str(folders["home"]),
            "TMPDIR": str(folders["tmp"]), "LABRAM_EVENTS": str(folders["workspace"] / "events.jsonl"),
            "MLFLOW_DISABLE_TELEMETRY": "true", "GX_ANALYTICS_ENABLED": "false", "OMP_NUM_THREADS": "1",
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return Trace(folders["workspace"], tuple(folders.values()), done.stdout + done.stderr)


def unpacked(path: Path) -> Iterator[bytes]:
    """The bytes of a file, and what is packed in them."""
    content = path.read_bytes()
    yield content
    if content[:2] == b"\x1f\x8b":
        yield gzip.decompress(content)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from (name.encode() + archive.read(name) for name in archive.namelist())
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        yield repr((table.schema.metadata, table.to_pylist())).encode()
    if content.startswith(b"SQLite format 3"):
        with sqlite3.connect(path) as database:
            yield "\n".join(database.iterdump()).encode()


def findings(path: Path, contents: Iterator[bytes]) -> Iterator[str]:
    for content in (str(path).encode(), *contents):
        small = content.lower()
        for sought in SOUGHT:
            place = small.find(sought)
            if place >= 0:
                yield f"{path}: {content[max(place - 60, 0) : place + 60]!r}"


def test_a_run_over_a_corpus_full_of_a_name_leaves_it_nowhere(trace: Trace) -> None:
    files = [path for folder in trace.folders for path in folder.rglob("*") if path.is_file()]
    assert {"mlflow.db", "catalogue.parquet", "labels.parquet", "events.jsonl", "report.html", "MLmodel"} <= {
        path.name for path in files
    }
    assert [place for path in files for place in findings(path, unpacked(path))] == []
    assert list(findings(Path("stdout"), iter([trace.said.encode()]))) == []


def test_every_format_took_part_and_every_refusal_is_counted(trace: Trace) -> None:
    found = Corpus.load(trace.workspace / "pipeline" / "corpus")
    assert set(found.accepted()["format"]) == FORMATS
    assert len(found.quarantined()) >= 12
    assert "unprocessable" not in {reason for reasons in found.quarantined()["reasons"] for reason in reasons}


def test_the_search_looks_into_packed_files(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [f"of {NAME.upper()}"] * 9}), tmp_path / "a.parquet", compression="zstd")
    (tmp_path / "a.gz").write_bytes(gzip.compress(NAME.encode("utf-16")))
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", f"{NAME} " * 9)
    with sqlite3.connect(tmp_path / "a.db") as database:
        database.execute("create table a (x)")
        database.execute("insert into a values (?)", [f"{BORN}"])
    for path in sorted(tmp_path.iterdir()):
        assert list(findings(path, unpacked(path))), path.name
