"""What `torchrun` starts, once a process: ``python -m labram.training.distributed.worker job.json lines.jsonl``."""

import sys
from pathlib import Path

from labram import logs
from labram.errors import LabramError
from labram.events import NullMonitor
from labram.training.distributed.job import Job, Sender
from labram.training.distributed.process_group import joined

FAILED = 1


def main(job_file: Path, lines: Path) -> int:
    """Do the job together with the other processes; gives the exit code.

    Args:
        job_file: What `Job.to_json` wrote.
        lines: Where the first rank says how it goes, and whichever rank fails says why.
    """
    logs.configure()
    sender = Sender(lines)
    try:
        with joined() as ranks:
            figures = Job.from_json(job_file.read_text()).run(sender if ranks.first else NullMonitor())
            if ranks.first:
                sender.finished(figures)
    except LabramError as error:
        sender.failed(error)
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
