"""What images are made of: pinned and hashed files, no network while they build, a bill of materials, digests."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from components import check_image
from labram.errors import PlatformError
from labram.git import DIRTY, UNKNOWN, SourceState
from labram.tracking import lineage

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "k8s" / "images"
PARTS = ("build", "tasks", "torch-cpu", "torch-gpu", "mlflow")
LINE = re.compile(r"(?P<name>[\w.-]+)==(?P<version>[\w.!+]+) --hash=sha256:[0-9a-f]{64}")
DIGEST = "registry.example/labram-mlflow@sha256:" + "7" * 64


def program(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"images_{name}", IMAGES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pins(part: str) -> dict[str, str]:
    """Versions by name; a line that is neither a comment, an index nor a hashed pin has none."""
    lines = [
        line for line in (IMAGES / f"{part}.txt").read_text().splitlines() if not line.startswith(("#", "--extra"))
    ]
    found = [LINE.fullmatch(line) for line in lines]
    assert all(found), lines
    return {canonicalize_name(match["name"]): match["version"] for match in found}


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}


@pytest.mark.parametrize("part", PARTS)
def test_every_file_has_a_hash_and_the_version_of_the_constraints(part) -> None:
    lines = (line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines())
    constraints = {canonicalize_name(name): version for name, version in lines}
    assert {name: version.removesuffix("+cpu") for name, version in pins(part).items()} == {
        name: constraints[name] for name in pins(part)
    }, "run `make lock`"


def test_the_image_of_tasks_has_all_that_labram_wants_and_of_kfp_no_client() -> None:
    tasks = pins("tasks")
    assert declared() - tasks.keys() == {"torch", "kfp-kubernetes"}, "run `make lock`"
    assert not {"kfp-kubernetes", "kfp-pipeline-spec", "kfp-server-api", "google-cloud-storage"} & tasks.keys()
    assert not {"pip", "wheel", "pytest", "mypy", "moto"} & tasks.keys()
    assert "torch" in pins("torch-cpu").keys() & pins("torch-gpu").keys()


def test_what_is_in_the_image_of_tasks_lacks_nothing() -> None:
    names = pins("tasks").keys() | pins("torch-cpu").keys()
    for name in names - {"kfp", "torch"}:
        for text in distribution(name).requires or []:
            wanted = Requirement(text)
            if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
                assert canonicalize_name(wanted.name) in names, f"{name} wants it"


def test_a_task_starts_without_what_the_image_leaves_out() -> None:
    """KFP's executor and every step, with the client's packages blocked."""
    code = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.startswith(("kfp_server_api", "kfp.pipeline_spec", "kfp.kubernetes", "google.cloud")):
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
import kfp.dsl.executor_main, pkgutil, importlib, labram.steps
for module in pkgutil.iter_modules(labram.steps.__path__):
    importlib.import_module(f"labram.steps.{module.name}")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"_KFP_RUNTIME": "true"})
    assert done.returncode == 0, done.stderr


def test_the_dockerfile_takes_hashed_files_only_and_ends_as_nobody() -> None:
    text = (IMAGES / "Dockerfile").read_text().replace("\\\n", " ")
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", text, re.M)
    assert {base for base, _ in stages} <= {"${BASE}"} | {name for _, name in stages}, "no base but the one given"
    for line in re.findall(r"pip install .*", text):
        assert "--require-hashes" in line or line.endswith(" ."), line
    assert not re.search(r"\b(apt-get|curl|wget|ADD|latest)\b", text)
    bodies = dict(zip((name for _, name in stages), re.split(r"^FROM .*$", text, flags=re.M)[1:], strict=True))
    for target in ("cpu", "gpu", "mlflow"):
        assert "USER 65532:0" in bodies[target]
        assert "sbom.py" in bodies[target]
        assert "org.opencontainers.image.revision=${COMMIT}" in bodies[target]


def test_nothing_reaches_a_build_but_what_is_named() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    assert all(line.startswith("!") or line == "**/__pycache__" for line in lines[1:])


@pytest.mark.skipif(not shutil.which("dpkg-query"), reason="Debian's package list is part of it")
def test_the_bill_of_materials_names_every_package_once(tmp_path) -> None:
    path = tmp_path / "bill.json"
    subprocess.run([sys.executable, IMAGES / "sbom.py", path], check=True)
    bill = json.loads(path.read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    names = [component["bom-ref"] for component in bill["components"]]
    assert names == sorted(set(names))
    versions = {component["name"]: component["version"] for component in bill["components"]}
    assert versions["numpy"] == distribution("numpy").version
    assert any(name.startswith("pkg:deb/debian/libc6@") for name in names)
    again = tmp_path / "again.json"
    subprocess.run([sys.executable, IMAGES / "sbom.py", again], check=True)
    assert again.read_bytes() == path.read_bytes()


def test_a_pushed_digest_replaces_its_image_alone(tmp_path) -> None:
    path = tmp_path / "kustomization.yaml"
    shutil.copy(IMAGES / "kustomization.yaml", path)
    before = {entry["name"]: entry for entry in yaml.safe_load(path.read_text())["images"]}
    program("build").write_digest(path, "labram-mlflow", DIGEST)
    after = {entry["name"]: entry for entry in yaml.safe_load(path.read_text())["images"]}
    name, _, digest = DIGEST.partition("@")
    assert after.pop("labram-mlflow") == {"name": "labram-mlflow", "newName": name, "digest": digest}
    assert after == {name: entry for name, entry in before.items() if name != "labram-mlflow"}
    assert path.read_text().startswith("#"), "comments stay"


def test_every_image_that_is_pushed_has_its_place_in_the_manifests() -> None:
    known = {entry["name"] for entry in yaml.safe_load((IMAGES / "kustomization.yaml").read_text())["images"]}
    assert set(program("build").NAMES.values()) <= known


@pytest.mark.parametrize("tag", ["latest", "v1", "release-202611210000", "20261121", "main-0123456789ab"])
def test_a_name_that_may_move_is_refused(tag) -> None:
    with pytest.raises(PlatformError, match="expected a digest or a commit tag"):
        check_image(f"registry.example/labram-python:{tag}")


@pytest.mark.parametrize("tag", ["0123456789ab", "0123456789ab-ba9876543210", "0" * 40, "source-0123456789ab"])
def test_a_commit_is_taken(tag) -> None:
    check_image(f"localhost:5000/labram-python:{tag}")


def test_an_image_says_its_commit_itself(monkeypatch) -> None:
    monkeypatch.setenv(lineage.COMMIT_VARIABLE, "a" * 40)
    assert lineage.source_state.__wrapped__() == ("a" * 40, False)
    monkeypatch.setenv(lineage.COMMIT_VARIABLE, "a" * 40 + DIRTY)
    assert lineage.source_state.__wrapped__() == ("a" * 40, True)
    monkeypatch.setenv(lineage.COMMIT_VARIABLE, UNKNOWN)
    assert lineage.source_state.__wrapped__() == (UNKNOWN, None)


@pytest.fixture
def builder(monkeypatch, tmp_path) -> ModuleType:
    """The program with an engine that notes its commands; pip finds no file of torch for CPUs."""
    build = program("build")
    build.commands = []

    def run(command: list, **_: object) -> subprocess.CompletedProcess:
        build.commands.append([str(part) for part in command])
        digest = next((Path(command[i + 1]) for i, part in enumerate(command) if part == "--digestfile"), None)
        if digest:
            digest.write_text("sha256:" + "7" * 64)
        lost = "pip" in command and "torch-cpu.txt" in str(command[-1])
        return subprocess.CompletedProcess(command, int(lost), "base@sha256:" + "1" * 64, "")

    shutil.copy(IMAGES / "kustomization.yaml", tmp_path)
    monkeypatch.setattr(build.subprocess, "run", run)
    monkeypatch.setattr(build, "engine", lambda: "podman")
    monkeypatch.setattr(build, "WHEELS", ROOT / ".labram" / "none")
    monkeypatch.setattr(build.shutil, "copy", lambda *_: None)
    monkeypatch.setattr(build, "_extract_sbom", lambda *_: "bill")
    monkeypatch.setattr(build, "write_digest", lambda *_: None)
    monkeypatch.setattr(build, "source_state", lambda: SourceState("0" * 40, dirty=False))
    monkeypatch.setattr(build, "image_tag", lambda: "0123456789ab-ba9876543210")
    return build


def test_an_image_that_fails_is_a_sentence_and_the_others_are_built(builder, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["build.py", "cpu", "mlflow"])
    with pytest.raises(PlatformError, match="1 of 2 images were not built: cpu"):
        builder.main()
    printed = capsys.readouterr().out
    assert "cpu     error: k8s/images/torch-cpu.txt: pip could not download the files of this list" in printed
    assert "PIP_FIND_LINKS" in printed
    assert "mlflow  localhost/labram-mlflow:0123456789ab-ba9876543210" in printed


def test_a_registry_without_tls_is_an_option(builder, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["build.py", "mlflow", "--registry", "localhost:5000", "--plain-http"])
    builder.main()
    (push,) = (command for command in builder.commands if "push" in command)
    assert "--tls-verify=false" in push
    assert f"localhost:5000/labram-mlflow@sha256:{'7' * 64}" in capsys.readouterr().out
    monkeypatch.setattr(builder, "engine", lambda: "docker")
    with pytest.raises(PlatformError, match="insecure-registries"):
        builder.main()
