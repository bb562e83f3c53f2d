"""Build the images, with Podman or Docker: ``python k8s/images/build.py [--registry NAME] TARGET…``.

Each is named by the commit and a digest of the program, as `labram run --containers` looks for it. What goes in is
fetched here, where pip knows its proxies and mirrors, and is checked by hash; the build itself has no network. With a
registry the images are pushed, and their digests written into kustomization.yaml.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from labram.errors import LabramError, PlatformError
from labram.tracking.lineage import DIRTY, code_version, commit, dirty

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
WHEELS = ROOT / ".labram" / "wheels"
PARTS = {
    "cpu": ("build", "tasks", "torch-cpu"),
    "gpu": ("build", "tasks", "torch-gpu"),
    "mlflow": ("build", "mlflow"),
}
NAMES = {"cpu": "labram-python", "gpu": "labram-python-gpu", "mlflow": "labram-mlflow"}
BASE = "docker.io/library/python:3.11-slim-bookworm"
SBOM = "/opt/labram/sbom.cdx.json"


def main() -> None:
    """Build, and push where a registry is given; print names, digests and where the bills of materials are."""
    parser = argparse.ArgumentParser()
    parser.add_argument("targets", nargs="+", choices=PARTS)
    parser.add_argument("--base", default=BASE)
    parser.add_argument("--registry", default="")
    given = parser.parse_args()
    tag = f"{commit()[:12] or 'source'}-{code_version()}"
    base = _pinned(given.base)
    for target in given.targets:
        for part in PARTS[target]:
            _fetch(part)
        image = f"localhost/{NAMES[target]}:{tag}"
        _build(target, image, base)
        _say(f"{target:7} {image}  {_bill(target, image)}")
        if given.registry:
            _say(f"{'':7} {_publish(NAMES[target], image, given.registry.rstrip('/'))}")


def engine() -> str:
    """The container engine of this machine.

    Raises:
        PlatformError: If there is none.
    """
    for name in ("podman", "docker"):
        if shutil.which(name):
            return name
    raise PlatformError("there is no container engine here", remedy="Install Podman or Docker")


def _pinned(base: str) -> str:
    """The base image by its digest, fetched if it is not here."""
    if not _ask("image", "ls", "--quiet", base):
        _do("pull", base)
    return _ask("image", "inspect", "--format", "{{index .RepoDigests 0}}", base)


def _fetch(part: str) -> None:
    """Bring the files that a part's requirements name; those that are here already are only checked."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]
    command += ["--require-hashes", "--find-links", WHEELS / part, "--dest", WHEELS / part]
    requirements = HERE / f"{part}.txt"
    mark = WHEELS / part / requirements.name
    if not (mark.exists() and mark.read_bytes() == requirements.read_bytes()):
        subprocess.run([*command, "--requirement", requirements], check=True)
        shutil.copy(requirements, mark)


def _build(target: str, image: str, base: str) -> None:
    arguments = {"BASE": base, "COMMIT": f"{commit()}{DIRTY if dirty() else ''}"}
    reproducible = ["--timestamp", "0"] if engine() == "podman" else []
    _do(
        *("build", "--quiet", "--network", "none", *reproducible, "--target", target, "--tag", image),
        *(text for name, value in arguments.items() for text in ("--build-arg", f"{name}={value}")),
        *("--file", str(HERE / "Dockerfile"), str(ROOT)),
    )


def _bill(target: str, image: str) -> Path:
    """Copy the bill of materials out of an image."""
    path = ROOT / ".labram" / "images" / f"{target}.cdx.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_ask("run", "--rm", "--network", "none", "--entrypoint", "cat", image, SBOM))
    return path.relative_to(ROOT)


def _publish(name: str, image: str, registry: str) -> str:
    """Push an image and write its digest where the manifests have it; gives the reference."""
    there = f"{registry}/{name}:{image.rpartition(':')[2]}"
    _do("tag", image, there)
    reference = f"{registry}/{name}@{_push(there)}"
    write_digest(HERE / "kustomization.yaml", name, reference)
    return reference


def _push(reference: str) -> str:
    """Push; gives the digest under which the registry has the image."""
    if engine() == "docker":
        _do("push", "--quiet", reference)
        known = _ask("image", "inspect", "--format", "{{json .RepoDigests}}", reference)
        name = reference.rpartition(":")[0]
        return next(one for one in json.loads(known) if one.startswith(f"{name}@")).partition("@")[2]
    with TemporaryDirectory() as folder:  # what Podman shows of an image is the digest before it was compressed
        file = Path(folder, "digest")
        _do("push", "--quiet", "--digestfile", str(file), reference)
        return file.read_text().strip()


def write_digest(path: Path, name: str, reference: str) -> None:
    """Let a kustomization take an image by this reference, ``NAME@DIGEST``; its comments stay."""
    text = path.read_text()
    new_name, _, digest = reference.partition("@")
    for entry in yaml.safe_load(text)["images"]:
        if entry["name"] == name:
            head, found, tail = text.partition(f"- name: {name}\n")
            tail = tail.replace(f"newName: {entry['newName']}", f"newName: {new_name}", 1)
            path.write_text(head + found + tail.replace(f"digest: {entry['digest']}", f"digest: {digest}", 1))


def _do(*arguments: str) -> None:
    if subprocess.run([engine(), *arguments], stdout=subprocess.DEVNULL, check=False).returncode:
        raise PlatformError(
            f"`{engine()} {arguments[0]}` failed; what it said stands above",
            remedy="Mend that, and run `make images` again",
        )


def _ask(*arguments: str) -> str:
    done = subprocess.run([engine(), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise PlatformError(
            f"`{engine()} {arguments[0]}` failed: {done.stderr.strip()}",
            remedy="Mend that, and run `make images` again",
        )
    return done.stdout.strip()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    try:
        main()
    except LabramError as error:
        sys.exit(f"error: {error}")
