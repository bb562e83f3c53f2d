"""Tables of the terminal show every character, also at 80 columns."""

from rich.console import Console

from labram.cli.tables import new_table

COLUMNS = ("model", "version", "aliases", "age", "score [95 % CI]", "baseline [95 % CI]", "gates")


def test_nothing_is_cut_off_and_names_stay_whole_at_eighty_columns():
    table = new_table(*COLUMNS, whole=("model",))
    table.add_row("labram-abnormal", "12", "previous-champion", "3 h", "cohen_kappa 0.82 [0.7, 0.9]", "0.768", "passed")
    console = Console(width=80, record=True, color_system=None)
    console.print(table)
    printed = console.export_text()
    assert "labram-abnormal " in printed
    assert "…" not in printed
    assert max(map(len, printed.splitlines())) <= 80
