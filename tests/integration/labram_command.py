"""`labram` with artifacts of pipelines in a bucket: ``python -m tests.integration.labram_command ARGUMENTS``."""

from labram.cli import main
from labram.platform import local_runs

if __name__ == "__main__":
    local_runs.RUNNER_MODULE = "tests.integration.local_run"
    main()
