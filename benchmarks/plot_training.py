"""Plot the training curves of docs/results.md from a workspace.

labram run --data FOLDER --recipe real-small && python benchmarks/plot_training.py .labram docs/results.svg
"""

import sys
from pathlib import Path

from labram.reporting import plots
from labram.reporting.run_record import History
from labram.reporting.training import Reference, panel


def main() -> None:
    """Plot the newest run of the workspace."""
    workspace, out = (Path(argument) for argument in sys.argv[1:3])
    newest = max((workspace / "pipeline").glob("*/pretrain"), key=lambda folder: folder.stat().st_mtime).parent
    tokenizer, backbone = History.of(newest / "tokenizer" / "model"), History.of(newest / "pretrain" / "model")
    panels = [
        *panel("Tokenizer: amplitude", "amplitude_vs_mean", tokenizer),
        *panel("Tokenizer: phase", "phase_vs_mean", tokenizer),
        *panel("Masked model: loss", "loss", backbone, Reference("target_entropy", "code frequencies", 2.0)),
        *panel("Masked model: accuracy", "accuracy", backbone, Reference("majority", "most frequent code")),
    ]
    with plots.styled():
        plots.curves(panels, columns=2).savefig(out, metadata={"Date": None})


if __name__ == "__main__":
    main()
