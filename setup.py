"""Write the commit of the source into the metadata of a wheel; pyproject.toml says everything else."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from setuptools import setup
from setuptools.command.egg_info import egg_info

ROOT = Path(__file__).parent
spec = spec_from_file_location("labram_git", ROOT / "labram" / "git.py")
labram_git = module_from_spec(spec)
sys.modules[spec.name] = labram_git
spec.loader.exec_module(labram_git)


class EggInfo(egg_info):
    """The metadata of setuptools, and the commit."""

    def run(self) -> None:
        """Write the metadata; files beside PKG-INFO become part of the wheel's metadata."""
        super().run()
        label = labram_git.source_state(ROOT).label
        Path(self.egg_info, labram_git.COMMIT_FILE).write_text(f"{label}\n", encoding="utf-8")


setup(cmdclass={"egg_info": EggInfo})
