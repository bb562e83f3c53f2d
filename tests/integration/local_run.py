"""`pipelines.local` with artifacts in a bucket: ``python -m tests.integration.local_run REQUEST.json``."""

import json
import sys
from pathlib import Path
from typing import Any

from labram.platform.workspace import Workspace
from pipelines import local
from tests.integration.bucket_artifacts import through_bucket

_load_pipeline = local.load_pipeline


def load_pipeline(file: Path) -> Any:
    """Load a compiled pipeline whose tasks keep their artifacts in the bucket."""
    pipeline = _load_pipeline(file)
    through_bucket(
        pipeline, Workspace.at(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["workspace"]).pipeline
    )
    return pipeline


if __name__ == "__main__":
    local.load_pipeline = load_pipeline
    local.main()
