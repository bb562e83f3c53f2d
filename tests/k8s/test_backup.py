"""The backup and the restore, as their manifests write them, on a real PostgreSQL."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tests.integration import servers

K8S = Path(__file__).parents[2] / "k8s"


def script(manifest: str) -> str:
    document = next(d for d in yaml.safe_load_all((K8S / manifest).read_text()) if d["kind"] in {"CronJob", "Job"})
    spec = document["spec"].get("jobTemplate", document)["spec"]
    return spec["template"]["spec"]["containers"][0]["command"][-1]


@pytest.fixture(scope="module")
def database() -> Iterator[dict[str, str]]:
    """Environment of a client of a new server with the two databases."""
    if not list(servers.POSTGRESQL.glob("*/bin/initdb")):
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    with servers.database() as address:
        place = urlsplit(address)
        yield {
            **os.environ,
            "PATH": f"{servers.programs()}:{os.environ['PATH']}",
            "PGHOST": place.hostname,
            "PGPORT": str(place.port),
            "PGUSER": place.username,
            "PGPASSWORD": place.password,
        }


def sql(environment: dict[str, str], name: str, text: str) -> str:
    done = subprocess.run(["psql", "-XAtd", name, "-c", text], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def run(text: str, backup: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = ["sh", "-euc", text.replace("/backup", str(backup))]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def test_what_was_backed_up_is_there_again_after_a_restore(database, tmp_path) -> None:
    backup, restore = script("base/backup.yaml"), script("restore/restore.yaml")
    for name in ("mlflow", "accounts"):
        sql(database, name, f"CREATE TABLE t AS SELECT generate_series(1, 100) AS n, '{name}' AS origin")
    done = run(backup, tmp_path, database)
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.iterdir()
    assert {path.name for path in folder.iterdir()} == {"mlflow.dump", "accounts.dump"}

    sql(database, "mlflow", "DELETE FROM t WHERE n > 3")
    sql(database, "accounts", "DROP TABLE t")
    done = run(restore, tmp_path, database)
    assert done.returncode == 0, done.stderr
    assert f"restored: {folder}" in done.stdout
    for name in ("mlflow", "accounts"):
        assert sql(database, name, "SELECT count(*), min(origin) FROM t") == f"100|{name}"

    client = subprocess.Popen(["psql", "-Xd", "mlflow", "-c", "SELECT pg_sleep(30)"], env=database, text=True)
    try:
        while sql(database, "postgres", "SELECT count(*) FROM pg_stat_activity WHERE datname = 'mlflow'") == "0":
            pass
        done = run(restore, tmp_path, database)
        assert done.returncode == 1
        assert "scale mlflow to 0 first" in done.stderr
    finally:
        client.kill()
        client.wait()


def test_a_backup_that_fails_leaves_none_that_looks_whole(database, tmp_path) -> None:
    sql(database, "postgres", "ALTER DATABASE accounts RENAME TO moved")
    try:
        done = run(script("base/backup.yaml"), tmp_path, database)
    finally:
        sql(database, "postgres", "ALTER DATABASE moved RENAME TO accounts")
    assert done.returncode != 0
    assert all(path.name.endswith(".part") for path in tmp_path.iterdir())
