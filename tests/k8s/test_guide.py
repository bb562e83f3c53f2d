"""Commands in the documentation name only labels, resources and Secrets that the manifests define."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer
import yaml

from labram.cli import app
from labram.platform.doctor import SECRETS

ROOT = Path(__file__).parents[2]
PAGES = ["docs/kubernetes.md", "k8s/README.md", "k8s/pools/README.md"]
KINDS = {"deployment": "Deployment", "statefulset": "StatefulSet", "svc": "Service", "cronjob": "CronJob", "job": "Job"}
ELSEWHERE = {"svc/ml-pipeline", "deployment/ml-pipeline", "job/backup-now"}
"""KFP's Service and Deployment, and a Job that the guide creates itself."""
OPTIONAL_SECRETS = {"labram-storage"}


@pytest.fixture(scope="module")
def manifests() -> list[dict]:
    files = sorted((ROOT / "k8s").rglob("*.yaml"))
    return [item for file in files for item in yaml.safe_load_all(file.read_text()) if isinstance(item, dict)]


@pytest.fixture(scope="module", params=PAGES)
def commands(request: pytest.FixtureRequest) -> list[str]:
    return [line for line in (ROOT / request.param).read_text().splitlines() if "kubectl" in line]


def pod_labels(part: object) -> Iterator[str]:
    """Labels of pod templates at any depth, and of custom resources whose pods get the resource's name."""
    if isinstance(part, dict):
        if part.get("spec", {}).get("containers") if isinstance(part.get("spec"), dict) else False:
            yield from (f"{key}={value}" for key, value in part.get("metadata", {}).get("labels", {}).items())
        if part.get("kind") == "InferenceService":
            yield f"serving.kserve.io/inferenceservice={part['metadata']['name']}"
        if part.get("kind") == "NodePool":
            yield from (f"{k}={v}" for k, v in part["spec"]["template"]["metadata"]["labels"].items())
        for value in part.values():
            yield from pod_labels(value)
    elif isinstance(part, list):
        for item in part:
            yield from pod_labels(item)


def test_every_label_selector_matches_a_pod_template(commands, manifests) -> None:
    labels = {*pod_labels(manifests), "pipeline/runid=RUN"}
    for line in commands:
        for selector in re.findall(r"-l ([\w./-]+=[\w./-]+)", line):
            assert selector in labels, line
            kinds = re.search(r"get ([a-z,]+) .*-l app=", line)
            assert kinds is None or kinds[1] == "pods", f"only pods have the label: {line}"


def test_every_resource_that_a_command_names_is_in_the_manifests(commands, manifests) -> None:
    existing = {(item.get("kind"), item.get("metadata", {}).get("name")) for item in manifests}
    for line in commands:
        for kind, name in re.findall(rf"\b({'|'.join(KINDS)})[/ ]([a-z][a-z-]+)", line):
            assert f"{kind}/{name}" in ELSEWHERE or (KINDS[kind], name) in existing, line


def test_the_guide_creates_every_secret_with_all_its_keys() -> None:
    guide = (ROOT / "docs/kubernetes.md").read_text().replace("\\\n", " ")
    created = dict(re.findall(r"create secret generic (\S+)(.*)", guide))
    assert created.keys() == SECRETS.keys() | OPTIONAL_SECRETS
    for name, keys in SECRETS.items():
        assert all(re.search(rf"--from-(literal|file)={re.escape(key)}\b", created[name]) for key in keys), name


def console(page: str = "docs/kubernetes.md") -> list[str]:
    """The commands of a page's console blocks, continued lines joined, comments and background marks removed."""
    text = (ROOT / page).read_text().replace("\\\n", " ")
    blocks = re.findall(r"```console\n(.*?)```", text, re.S)
    lines = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return [re.sub(r"\s+#.*$", "", line).removesuffix(" &") for line in lines]


def labram_commands() -> list[str]:
    found = [
        match[1] for line in console() for match in re.finditer(r"(?:^|\$\()(?:[A-Z_]+=\S+ )*labram ([^)|]+)", line)
    ]
    assert len(found) >= 15
    return found


@pytest.mark.parametrize("command", labram_commands())
def test_every_labram_command_of_the_guide_parses(command: str) -> None:
    """Names of commands and options, their number of arguments and the types of values; nothing is run."""
    words = shlex.split(command.replace("…", "x"))
    group, context = typer.main.get_command(app), None
    while isinstance(group, click.Group):
        context = click.Context(group, parent=context)
        _, group, words = group.resolve_command(context, words)
    group.make_context(group.name, words, parent=context)


def test_every_kustomization_that_the_guide_applies_renders() -> None:
    folders = {folder for line in console() for folder in re.findall(r"(?:-k|kustomize) (k8s/\S+)", line)}
    assert folders >= {"k8s/overlays/local", "k8s/overlays/cloud", "k8s/corpus", "k8s/restore"}
    for folder in folders:
        done = subprocess.run(["kubectl", "kustomize", str(ROOT / folder)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_profile_of_the_guide_is_the_namespace_of_its_overlay() -> None:
    guide = (ROOT / "docs/kubernetes.md").read_text()
    profile = yaml.safe_load(re.search(r"kubectl apply -f - <<END\n(.*?)END\n", guide, re.S)[1])
    overlay = yaml.safe_load((ROOT / "k8s/overlays/cloud/kustomization.yaml").read_text())
    assert (profile["apiVersion"], profile["kind"]) == ("kubeflow.org/v1", "Profile")
    assert profile["metadata"]["name"] == overlay["namespace"]
    assert profile["spec"]["owner"]["kind"] == "User"
    assert f"namespace/{overlay['namespace']}" in guide


def test_every_target_of_make_exists_with_its_variables() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for line in (line for line in console() if re.search(r"\bmake\b", line)):
        target, *settings = re.search(r"make (.*)", line)[1].split(" && ")[0].split()
        assert re.search(rf"^{target}:", makefile, re.M), line
        for name in (setting.partition("=")[0] for setting in settings if "=" in setting):
            assert f"$({name})" in makefile, line


def test_a_wait_is_for_a_job_that_is_there() -> None:
    """`logs -f` right after `create` fails while the pod starts."""
    assert not [line for line in console() if "logs -f" in line]
    assert len([line for line in console() if "wait --for=condition=complete" in line]) >= 5


def test_the_digest_of_postgresql_gets_into_its_place(tmp_path) -> None:
    (command,) = (line for line in console() if line.startswith("sed -i") and "postgres" in line)
    shutil.copy(ROOT / "k8s/images/kustomization.yaml", tmp_path)
    digest = "docker.io/library/postgres@sha256:" + "7" * 64
    script = command.replace("k8s/images/", "")
    subprocess.run(["bash", "-c", script], cwd=tmp_path, env={**os.environ, "DIGEST": digest}, check=True)
    images = yaml.safe_load((tmp_path / "kustomization.yaml").read_text())["images"]
    assert [entry["digest"] for entry in images] == ["sha256:" + "0" * 64] * 3 + ["sha256:" + "7" * 64]
