"""Front matter of a model card: YAML metadata as the Hugging Face Hub reads it."""

import re
from collections.abc import Iterable

import yaml

from labram.evaluation.record import Evaluation

LIBRARY = "labram"
TAGS = ("eeg", "biosignals", "foundation-model", "labram")
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n+", re.DOTALL)


def front_matter(name: str, datasets: Iterable[str], evaluation: Evaluation | None = None) -> str:
    """Return the front matter of a card, with the fences around it.

    Args:
        name: Registered name.
        datasets: Adapter names of the training data.
        evaluation: Evaluation of a task model, whose test scores become results.
    """
    content: dict[str, object] = {
        "license": "mit",
        "library_name": LIBRARY,
        "tags": list(TAGS),
        "datasets": sorted(datasets),
    }
    if evaluation is not None:
        content["metrics"] = sorted(evaluation.model)
        content["model-index"] = [{"name": name, "results": [_results(evaluation)]}]
    return f"---\n{yaml.safe_dump(content, sort_keys=False, allow_unicode=True)}---\n\n"


def without_front_matter(card: str) -> str:
    """Return a card without its front matter, for pages that do not read it."""
    return _FRONT_MATTER.sub("", card)


def _results(evaluation: Evaluation) -> dict[str, object]:
    scores = {name: estimate.value for name, estimate in evaluation.model.items() if estimate.value is not None}
    return {
        "task": {"type": f"eeg-{evaluation.kind}", "name": evaluation.title},
        "dataset": {
            "name": evaluation.task,
            "type": evaluation.task,
            "split": evaluation.split,
            "revision": evaluation.corpus_version or "unknown",
        },
        "metrics": [{"type": name, "value": round(value, 6), "name": name} for name, value in scores.items()],
    }
