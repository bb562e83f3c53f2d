"""Tables of a comparison of two versions or two runs."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labram.registry.comparison import Comparison, Difference


def show_comparison(found: "Comparison") -> None:
    """Print what differs in origin and settings, and the paired scores."""
    from labram.cli.progress import console
    from labram.cli.tables import new_table

    _show_differences("origin", found.origin, found)
    _show_differences("settings", found.settings, found)
    if found.scores:
        table = new_table(
            "task",
            "metric",
            found.a,
            found.b,
            "difference [95 % CI]",
            "verdict",
            "windows",
            "subjects",
            whole=("task",),
        )
        for row in found.scores:
            table.add_row(
                row.task,
                row.metric,
                str(row.a),
                str(row.b),
                str(row.advantage),
                f"{found.b} is {row.verdict}" if row.verdict in {"better", "worse"} else row.verdict,
                str(row.windows) + (f" ({row.left_out} left out)" if row.left_out else ""),
                str(row.subjects),
            )
        console.print(table)
    for note in found.notes:
        console.print(f"note: {note}", style="yellow", soft_wrap=True)


def _show_differences(title: str, rows: "tuple[Difference, ...]", found: "Comparison") -> None:
    from labram.cli.progress import console
    from labram.cli.tables import new_table

    if not rows:
        console.print(f"{title}: equal")
        return
    table = new_table(title, found.a, found.b)
    for row in rows:
        table.add_row(row.key, row.a or "–", row.b or "–")
    console.print(table)
