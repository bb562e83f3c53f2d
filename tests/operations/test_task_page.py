"""The pages that Kubeflow Pipelines shows beside tasks."""

import pytest

from labram.operations import task_page


def test_a_page_is_markdown_with_title_parts_and_tables(tmp_path) -> None:
    file = tmp_path / "task" / "summary"
    table = task_page.table(("gate", "why"), [("metric", "0.8 | not worse")])
    task_page.write(file, "gate", "MLflow run `1`", table, task_page.figures({"loss": 0.123456}))
    assert file.read_text() == (
        "### gate\n\nMLflow run `1`\n\n"
        "| gate | why |\n| --- | --- |\n| metric | 0.8 \\| not worse |\n\n"
        "| figure | value |\n| --- | --- |\n| loss | 0.1235 |\n"
    )


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("", "[labram-gait version 3](http://mlflow:5000/#/models/labram-gait/versions/3)"),
        ("https://mlflow.example/", "[labram-gait version 3](https://mlflow.example/#/models/labram-gait/versions/3)"),
    ],
)
def test_a_link_leads_where_people_open_mlflow(monkeypatch, page, expected) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    monkeypatch.setenv(task_page.MLFLOW_PAGE, page)
    assert task_page.link_to_model("labram-gait", "3") == expected


def test_where_no_server_is_there_is_no_link(monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////w/mlflow/mlflow.db")
    monkeypatch.setenv(task_page.MLFLOW_PAGE, "http://localhost:5000")
    assert task_page.link_to_run("abc") == "MLflow run `abc`"
    assert task_page.link_to_model("labram-gait", "3") == "labram-gait version 3"
