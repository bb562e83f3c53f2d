"""Write the SBOM of the running image (CycloneDX 1.6): Python and Debian packages.

The last step of an image build runs it, with the standard library only. See docs/decisions/0023.
"""

import json
import re
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

QUERY = "${Package}\t${Version}\t${Architecture}\t${source:Package}\n"


def main(path: Path) -> None:
    """Write the SBOM. The same packages always produce the same bytes."""
    components = sorted([*_python(), *_debian()], key=lambda component: component["purl"])
    sbom = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": components}
    path.write_text(json.dumps(sbom, indent=1) + "\n", encoding="utf-8")


def _python() -> list[dict[str, object]]:
    return [_distribution(one) for one in distributions()]


def _distribution(one: Distribution) -> dict[str, object]:
    name = re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower()
    return _component(name, one.version, f"pkg:pypi/{name}@{one.version}") | _licence(one)


def _licence(one: Distribution) -> dict[str, object]:
    """Return the licence from the package metadata: an SPDX expression, or else a short name."""
    if expression := one.metadata.get("License-Expression"):
        return {"licenses": [{"expression": expression}]}
    name = (one.metadata.get("License") or "").strip()
    return {"licenses": [{"license": {"name": name}}]} if name and "\n" not in name else {}


def _debian() -> list[dict[str, object]]:
    listed = subprocess.run(
        ["dpkg-query", "--show", "--showformat", QUERY], capture_output=True, encoding="utf-8", check=True
    )
    components = []
    for line in listed.stdout.splitlines():
        name, version, architecture, source = line.split("\t")
        purl = f"pkg:deb/debian/{name}@{version.replace(':', '%3A')}?arch={architecture}&upstream={source}"
        components.append(_component(name, version, purl))
    return components


def _component(name: str, version: str, purl: str) -> dict[str, object]:
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
