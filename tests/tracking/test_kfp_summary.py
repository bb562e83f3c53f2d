"""The pages that Kubeflow Pipelines shows beside tasks."""

import pytest

from labram.tracking import kfp_summary


def test_a_page_is_markdown_with_title_parts_and_tables(tmp_path) -> None:
    file = tmp_path / "task" / "summary"
    table = kfp_summary.table(("gate", "why"), [("metric", "0.8 | not worse")])
    kfp_summary.write(file, "gate", "MLflow run `1`", table, kfp_summary.metrics_table({"loss": 0.123456}))
    assert file.read_text() == (
        "### gate\n\nMLflow run `1`\n\n"
        "| gate | why |\n| --- | --- |\n| metric | 0.8 \\| not worse |\n\n"
        "| metric | value |\n| --- | --- |\n| loss | 0.1235 |\n"
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
    monkeypatch.setenv(kfp_summary.MLFLOW_PAGE, page)
    assert kfp_summary.link_to_model("labram-gait", "3") == expected


def test_where_no_server_is_there_is_no_link(monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////w/mlflow/mlflow.db")
    monkeypatch.setenv(kfp_summary.MLFLOW_PAGE, "http://localhost:5000")
    assert kfp_summary.link_to_run("abc") == "MLflow run `abc`"
    assert kfp_summary.link_to_model("labram-gait", "3") == "labram-gait version 3"
