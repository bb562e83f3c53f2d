"""Tables of the audit of a task, for its section of the report."""

from labram.evaluation.audit import Audit, Null
from labram.metrics import title
from labram.recipe import TaskRecipe
from labram.reporting.elements import Table, number, percent


def tables(audit: Audit | None, task: TaskRecipe) -> tuple[Table, ...]:
    """Return what the embeddings know, and the scores by subject, montage and alignment; nothing without an audit."""
    if audit is None:
        return ()
    return (_nulls(audit, task), _scores(audit, task))


def _nulls(audit: Audit, task: TaskRecipe) -> Table:
    metric = title(task.metric)
    rows = [
        (f"task on new subjects: {metric}", *_cells(audit.task)),
        ("identity of the subject: accuracy", *_cells(audit.identity)),
        ("share of variance that the subject explains", *_cells(audit.subject_variance)),
    ]
    if audit.subject_variance_before:
        rows.append(("the same before fine-tuning", *_cells(audit.subject_variance_before)))
    if audit.dataset:
        rows.append(("dataset of new subjects' windows, whole corpus: accuracy", *_cells(audit.dataset)))
    if audit.label_variance:
        rows.append(("share of variance that the label explains", *_cells(audit.label_variance)))
    note = (
        f"Ridge probes of the embeddings of {audit.windows} windows of {audit.subjects} subjects, beside permuted "
        f"labels. The label varies within {percent(audit.label_varies_within)} of the subjects. "
        f"{audit.frozen_parameters:,} parameters of LaBraM, {audit.fitted_parameters:,} values fitted."
        f"{'' if audit.subject_variance_before else ' The backbone is frozen: before and after are the same.'}"
        f"{'' if audit.dataset else ' The corpus has one dataset.'}"
    )
    head = ("audit", "value", "mean of permutations", "95th percentile", "p")
    return Table("Audit of embeddings", head, tuple(rows), frozenset({1, 2, 3, 4}), note=note)


def _cells(null: Null) -> tuple[str, ...]:
    return tuple(number(value) for value in (null.value, null.mean, null.upper, null.p))


def _scores(audit: Audit, task: TaskRecipe) -> Table:
    metric = title(task.metric)
    rows = [(f"ridge probe, alignment {kind}", number(value)) for kind, value in audit.alignments.items()]
    rows.append(("ridge probe, mean of each subject removed", number(audit.without_subjects)))
    rows += [(f"model, {name}", number(value)) for name, value in audit.by_montage.items()]
    rows.append(("model, by subject", ", ".join(number(value, 2) for value in audit.by_subject)))
    if audit.expected_calibration_error is not None:
        rows.append(("model, expected calibration error", number(audit.expected_calibration_error)))
    note = f"{metric}, unless named otherwise. Subjects with one label have no AUROC (–)."
    return Table("Scores by part", ("score", "value"), tuple(rows), note=note, folded=True)
