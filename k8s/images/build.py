"""Build the container images with Podman or Docker: ``python k8s/images/build.py [--registry NAME] TARGET…``.

Images are tagged with the commit and a digest of the source, as `labram run --containers` expects. Packages are
downloaded by the local pip, with its proxies and mirrors, and verified by hash; the build itself has no network. With
--registry, images are pushed and their digests are written to kustomization.yaml, a setting of the installation that is
no part of the program's commit. An image that fails does not keep the others from being built.
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
from labram.tracking.lineage import image_tag, source_state

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
    """Build the images, and push them if a registry is set; print their names, digests and SBOM files."""
    parser = argparse.ArgumentParser()
    parser.add_argument("targets", nargs="+", choices=PARTS)
    parser.add_argument("--base", default=BASE)
    parser.add_argument("--registry", default="")
    parser.add_argument("--plain-http", action="store_true", help="the registry has no TLS (Podman only)")
    options = parser.parse_args()
    if options.plain_http and engine() == "docker":
        remedy = 'Add it to "insecure-registries" of the Docker daemon, and leave --plain-http out; or install Podman'
        raise PlatformError("Docker has no option for a registry without TLS", field="--plain-http", remedy=remedy)
    tag, base = image_tag(), _pinned(options.base)
    failed = [target for target in options.targets if not _made(target, tag, base, options)]
    if failed:
        raise PlatformError(
            f"{len(failed)} of {len(options.targets)} images were not built: {', '.join(failed)}",
            remedy="Fix the causes above and run `make images` again: what was built is reused",
        )


def _made(target: str, tag: str, base: str, options: argparse.Namespace) -> bool:
    """Build an image, and push it if a registry is set; print an error and return False if that fails."""
    try:
        for part in PARTS[target]:
            _fetch(part)
        image = f"localhost/{NAMES[target]}:{tag}"
        _build(target, image, base)
        _print(f"{target:7} {image}  {_extract_sbom(target, image)}")
        if options.registry:
            registry = options.registry.rstrip("/")
            _print(f"{'':7} {_publish(NAMES[target], image, registry, plain_http=options.plain_http)}")
    except LabramError as error:
        _print(f"{target:7} error: {error}")
        return False
    return True


def engine() -> str:
    """Return the name of the installed container engine.

    Raises:
        PlatformError: If neither Podman nor Docker is installed.
    """
    for name in ("podman", "docker"):
        if shutil.which(name):
            return name
    raise PlatformError("no container engine is installed", remedy="Install Podman or Docker")


def _pinned(base: str) -> str:
    """Return the base image by digest; pull it if it is not local."""
    if not _output("image", "ls", "--quiet", base):
        _run("pull", base)
    return _output("image", "inspect", "--format", "{{index .RepoDigests 0}}", base)


def _fetch(part: str) -> None:
    """Download the files in a part's requirements, unless they have been downloaded for the same requirements."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]
    command += ["--require-hashes", "--find-links", WHEELS / part, "--dest", WHEELS / part]
    requirements = HERE / f"{part}.txt"
    downloaded = WHEELS / part / requirements.name
    if not (downloaded.exists() and downloaded.read_bytes() == requirements.read_bytes()):
        if subprocess.run([*command, "--requirement", requirements], check=False).returncode:
            where = "an index (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL) or a folder (PIP_FIND_LINKS) that has them"
            raise PlatformError(
                "pip could not download the files of this list, see its messages above",
                file=requirements.relative_to(ROOT),
                remedy=f"Name {where}, or put the files into {(WHEELS / part).relative_to(ROOT)} and run it again",
            )
        shutil.copy(requirements, downloaded)


def _build(target: str, image: str, base: str) -> None:
    arguments = {"BASE": base, "COMMIT": source_state().label}
    reproducible = ["--timestamp", "0"] if engine() == "podman" else []
    _run(
        *("build", "--quiet", "--network", "none", *reproducible, "--target", target, "--tag", image),
        *(text for name, value in arguments.items() for text in ("--build-arg", f"{name}={value}")),
        *("--file", str(HERE / "Dockerfile"), str(ROOT)),
    )


def _extract_sbom(target: str, image: str) -> Path:
    """Copy the SBOM out of an image."""
    path = ROOT / ".labram" / "images" / f"{target}.cdx.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_output("run", "--rm", "--network", "none", "--entrypoint", "cat", image, SBOM), encoding="utf-8")
    return path.relative_to(ROOT)


def _publish(name: str, image: str, registry: str, *, plain_http: bool) -> str:
    """Push an image, write its digest to kustomization.yaml, and return the reference."""
    tagged = f"{registry}/{name}:{image.rpartition(':')[2]}"
    _run("tag", image, tagged)
    reference = f"{registry}/{name}@{_push(tagged, plain_http=plain_http)}"
    write_digest(HERE / "kustomization.yaml", name, reference)
    return reference


def _push(reference: str, *, plain_http: bool) -> str:
    """Push an image, and return its digest in the registry."""
    if engine() == "docker":
        _run("push", "--quiet", reference)
        digests = json.loads(_output("image", "inspect", "--format", "{{json .RepoDigests}}", reference))
        name = reference.rpartition(":")[0]
        return str(next(digest for digest in digests if digest.startswith(f"{name}@")).partition("@")[2])
    with TemporaryDirectory() as folder:  # Podman's `inspect` shows the digest of the uncompressed image
        file = Path(folder, "digest")
        _run("push", "--quiet", *(["--tls-verify=false"] if plain_http else []), "--digestfile", str(file), reference)
        return file.read_text(encoding="utf-8").strip()


def write_digest(path: Path, name: str, reference: str) -> None:
    """Set an image of a kustomization to the reference ``NAME@DIGEST``. Comments are kept."""
    text = path.read_text(encoding="utf-8")
    new_name, _, digest = reference.partition("@")
    for entry in yaml.safe_load(text)["images"]:
        if entry["name"] == name:
            head, found, tail = text.partition(f"- name: {name}\n")
            tail = tail.replace(f"newName: {entry['newName']}", f"newName: {new_name}", 1)
            path.write_text(
                head + found + tail.replace(f"digest: {entry['digest']}", f"digest: {digest}", 1), encoding="utf-8"
            )


def _run(*arguments: str) -> None:
    if subprocess.run([engine(), *arguments], stdout=subprocess.DEVNULL, check=False).returncode:
        raise PlatformError(
            f"`{engine()} {arguments[0]}` failed with the messages above",
            remedy="Fix the cause and run `make images` again",
        )


def _output(*arguments: str) -> str:
    done = subprocess.run([engine(), *arguments], capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        raise PlatformError(
            f"`{engine()} {arguments[0]}` failed: {done.stderr.strip()}",
            remedy="Fix the cause and run `make images` again",
        )
    return done.stdout.strip()


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    try:
        main()
    except LabramError as error:
        sys.exit(f"error: {error}")
