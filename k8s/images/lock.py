"""Write the hashed requirements of the images: ``python k8s/images/lock.py``.

`pyproject.toml` determines the packages, `constraints.txt` their versions; this script adds the SHA-256 of each file,
for Linux on x86-64 and the running Python version. The files are complete, for ``pip install --require-hashes
--no-deps``; they include KFP without the dependencies of its client. See docs/decisions/0023.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
CONSTRAINTS = ROOT / "constraints.txt"
CLIENTS = {"kfp", "kfp-kubernetes"}
"""Needed to compile and submit pipelines. Tasks need only `kfp`, without its dependencies, as their executor."""
PIP = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
HEAD = "# Written by `make lock` from pyproject.toml and constraints.txt. Do not edit.\n"
EXTRA = {"torch-cpu": "--extra-index-url https://download.pytorch.org/whl/cpu\n"}
"""PyPI has PyTorch for GPUs only."""


def main() -> None:
    """Write one file for each part of an image."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    names = {canonicalize_name(Requirement(line).name): line for line in declared}
    torch = {"cpu": f"torch=={_pin('torch')}+cpu", "gpu": f"torch==={_pin('torch')}"}
    library = [line for name, line in names.items() if name not in CLIENTS | {"torch"}]

    build = _resolve("pip", "setuptools", "wheel")
    tasks = _resolve(torch["cpu"], *library) | _resolve("--no-deps", names["kfp"])
    tasks.pop("torch")
    parts = {
        "build": build,
        "tasks": tasks,
        **{f"torch-{target}": _without(_resolve(wanted), tasks) for target, wanted in torch.items()},
        "mlflow": _resolve("mlflow[auth]", "boto3", "psycopg[binary]"),
    }
    for part, lines in parts.items():
        (HERE / f"{part}.txt").write_text(
            HEAD + EXTRA.get(part, "") + "".join(f"{lines[name]}\n" for name in sorted(lines)), encoding="utf-8"
        )


def _pin(name: str) -> str:
    lines = (line.partition("==") for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines())
    return next(version for pinned, _, version in lines if pinned == name)


def _resolve(*requirements: str) -> dict[str, str]:
    """Resolve requirements in an empty environment; return a line with version and hash by package name."""
    with TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        subprocess.run(
            [*PIP, "--report", report, "--constraint", CONSTRAINTS, *requirements],
            check=True,
        )
        installed = json.loads(report.read_text(encoding="utf-8"))["install"]
    return {
        canonicalize_name(item["metadata"]["name"]): f"{item['metadata']['name']}=={item['metadata']['version']} "
        f"--hash=sha256:{item['download_info']['archive_info']['hashes']['sha256']}"
        for item in installed
    }


def _without(lines: dict[str, str], others: dict[str, str]) -> dict[str, str]:
    return {name: line for name, line in lines.items() if name not in others}


if __name__ == "__main__":
    main()
