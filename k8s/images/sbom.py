"""Write the bill of materials of the image that this runs in, as CycloneDX 1.6: Python's packages and Debian's.

It is run as the last step of an image's build, with the standard library alone.
"""

import json
import re
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

QUERY = "${Package}\t${Version}\t${Architecture}\t${source:Package}\n"


def main(path: Path) -> None:
    """Write the bill; the same packages give the same bytes."""
    components = sorted([*_python(), *_debian()], key=lambda component: component["purl"])
    bill = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": components}
    path.write_text(json.dumps(bill, indent=1) + "\n")


def _python() -> list[dict[str, object]]:
    return [_distribution(one) for one in distributions()]


def _distribution(one: Distribution) -> dict[str, object]:
    name = re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower()
    return _component(name, one.version, f"pkg:pypi/{name}@{one.version}") | _licence(one)


def _licence(one: Distribution) -> dict[str, object]:
    """The licence as the package states it: an SPDX expression, else a short name of its own."""
    if expression := one.metadata.get("License-Expression"):
        return {"licenses": [{"expression": expression}]}
    name = (one.metadata.get("License") or "").strip()
    return {"licenses": [{"license": {"name": name}}]} if name and "\n" not in name else {}


def _debian() -> list[dict[str, object]]:
    listed = subprocess.run(["dpkg-query", "--show", "--showformat", QUERY], capture_output=True, text=True, check=True)
    found = []
    for line in listed.stdout.splitlines():
        name, version, architecture, source = line.split("\t")
        purl = f"pkg:deb/debian/{name}@{version.replace(':', '%3A')}?arch={architecture}&upstream={source}"
        found.append(_component(name, version, purl))
    return found


def _component(name: str, version: str, purl: str) -> dict[str, object]:
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
