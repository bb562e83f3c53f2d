"""The rerun of an original: a clone at its commit, an environment from its lock file, and its command."""

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from labram.corpus import dvc_versions
from labram.corpus.pseudonyms import KEY_VARIABLE
from labram.errors import PlatformError
from labram.events import EVENTS_VARIABLE
from labram.git import without_locations
from labram.logs import CORPUS_VARIABLE
from labram.platform import local_runs
from labram.platform.reproduce.original import Original
from labram.platform.workspace import STORE_VARIABLE
from labram.registry import model_registry
from labram.tracking import lineage

POLL_SECONDS = 0.5
_NOT_INHERITED = (
    *("MLFLOW_TRACKING_URI", "LABRAM_RUN", "LABRAM_WORKSPACE", "LABRAM_COMMIT", lineage.IMAGE_VARIABLE),
    *(STORE_VARIABLE, CORPUS_VARIABLE, EVENTS_VARIABLE),
)
"""Variables of this process that would lead the rerun to the original's data, or state another origin."""


@dataclass(frozen=True)
class Rerun:
    """Folders of a reproduction.

    Attributes:
        folder: Folder for all of it.
        repository: Clone or URL that has the commit.
    """

    folder: Path
    repository: Path

    @property
    def source(self) -> Path:
        """The source tree at the original's commit."""
        return self.folder / "source"

    @property
    def workspace(self) -> Path:
        """The workspace of the rerun."""
        return self.folder / "workspace"

    @property
    def originals(self) -> Path:
        """Copies of the original's artifacts."""
        return self.folder / "original"

    def check_out(self, original: Original) -> None:
        """Clone the repository at the original's commit, with its uncommitted changes.

        The clone shares the repository's objects and leaves nothing behind in it.

        Raises:
            PlatformError: If git fails.
        """
        if not (self.source / ".git").exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            _run(["git", "clone", "--quiet", "--shared", "--no-checkout", str(self.repository), str(self.source)])
        _run(["git", "-C", str(self.source), "checkout", "--quiet", "--force", "--detach", original.commit])
        _run(["git", "-C", str(self.source), "clean", "-fdq", "-e", ".venv"])
        dvc_versions.share_cache(self.repository, self.source)
        if original.diff:
            patch = self.folder / lineage.DIFF_FILE
            patch.write_text(original.diff, encoding="utf-8", errors="surrogateescape")
            _run(["git", "-C", str(self.source), "apply", str(patch.absolute())])

    def python(self, *, reuse: bool) -> Path:
        """Return the interpreter of the rerun: this one, or that of an environment from the commit's lock file.

        Raises:
            PlatformError: If the environment cannot be built.
        """
        if reuse:
            return Path(sys.executable)
        _run(["make", "-C", str(self.source), ".venv/.ready"])
        return self.source / ".venv" / "bin" / "python"

    def run(
        self,
        original: Original,
        python: Path,
        *,
        data: Path | None,
        upto: str,
        show: Callable[[dict[str, object]], None],
    ) -> None:
        """Run the original's command, and stop after all tasks of the step `upto` if it is not "".

        An interrupted rerun is resumed by the next one.

        Args:
            original: The original.
            python: See `python`.
            data: Folder of the corpus; None: that of the commit's ``data.dvc``.
            upto: Name of a step, or "".
            show: Called with each event of the pipeline.

        Raises:
            PlatformError: If the run fails.
        """
        recipe = self.folder / "recipe.yaml"
        recipe.write_text(yaml.safe_dump(original.recipe, sort_keys=False), encoding="utf-8")
        command = [str(python), "-m", "labram.cli", original.command, *self._backbone(original)]
        command += ["--recipe", str(recipe.absolute()), "--workspace", str(self.workspace.absolute())]
        command += ["--data", str(data.absolute())] if data else []
        log = self.folder / "run.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                cwd=self.source,
                env=_environment(original, self.source),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            stopped = self._follow(process, upto, show)
        finally:
            local_runs.stop(process)
        if process.returncode not in {0, 3} and not stopped:
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            problem = next(
                (line for line in reversed(lines) if line.startswith("error: ")), f"code {process.returncode}"
            )
            raise PlatformError(
                f"the rerun failed: {problem.removeprefix('error: ')}",
                file=log,
                remedy="Read its log; the same command resumes it",
            )

    def _follow(self, process: "subprocess.Popen[bytes]", upto: str, show: Callable[[dict[str, object]], None]) -> bool:
        """Show events until the run has ended; return whether it was stopped after the step `upto`."""
        seen = 0
        finished: set[str] = set()
        while True:
            ended = process.poll() is not None
            events = self._events()
            for event in events[seen:]:
                show(event)
                if event["event"] == "finished":
                    finished.add(str(event["step"]))
            seen = len(events)
            if upto and any(step.partition(" ")[0] == upto for step in finished) and _next_began(events, upto):
                return True
            if ended:
                return False
            time.sleep(POLL_SECONDS)

    def _events(self) -> list[dict[str, object]]:
        files = sorted(self.workspace.glob(f"runs/*/{local_runs.EVENTS}"))
        texts = (io.StringIO(file.read_text(encoding="utf-8", errors="replace")) for file in files)
        return [event for text in texts for event in local_runs.new_events(text)]

    def _backbone(self, original: Original) -> list[str]:
        if not original.backbone:
            return []
        if not original.backbone.startswith("models:/"):
            return [original.backbone]
        return [str(model_registry.local_folder(original.backbone).absolute())]

    def models(self) -> dict[str, list[Path]]:
        """Return the output folders of the rerun by registered name: of a task model, its evaluation too."""
        found: dict[str, list[Path]] = {}
        outputs = {"tokenizer/model": model_registry.TOKENIZER, "pretrain/model": model_registry.BACKBONE}
        for run in sorted(self.workspace.glob("pipeline/*-*")):
            for place, name in outputs.items():
                if (run / place / model_registry.WEIGHTS[0]).is_file():
                    found[name] = [run / place]
            for task in sorted(run.rglob("finetune/model/task.json")):
                name = json.loads(task.read_text(encoding="utf-8"))["recipe"]["name"]
                evaluation = task.parents[2] / "evaluate" / "evaluation"
                found[model_registry.task_model_name(name)] = [task.parent, evaluation]
        return found


def _next_began(events: list[dict[str, object]], upto: str) -> bool:
    """Return whether a step after all tasks of `upto` has started, so that none of these is missing."""
    last = max(index for index, event in enumerate(events) if _is(event, "finished", upto))
    open_tasks = {str(event["step"]) for event in events if _is(event, "started", upto)}
    closed = {str(event["step"]) for event in events if _is(event, "finished", upto)}
    later = any(event["event"] == "started" and not _is(event, "started", upto) for event in events[last:])
    return open_tasks == closed and later


def _is(event: dict[str, object], kind: str, step: str) -> bool:
    return event["event"] == kind and str(event.get("step", "")).partition(" ")[0] == step


def _environment(original: Original, source: Path) -> dict[str, str]:
    inherited = {name: value for name, value in without_locations(os.environ).items() if name not in _NOT_INHERITED}
    inherited["PYTHONPATH"] = str(source.absolute())
    if original.subject_key:
        inherited[KEY_VARIABLE] = original.subject_key
    return inherited


def _run(command: list[str]) -> None:
    environment = without_locations(os.environ)
    done = subprocess.run(
        command, env=environment, capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise PlatformError(
            f"{' '.join(command[:1])} failed: {lines[-1] if lines else f'exit code {done.returncode}'}",
            field="reproduce",
            remedy="Fix the cause, then run the same command again",
        )
