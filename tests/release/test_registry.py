"""MLflow has every release, its alias is where the pointer is, and without MLflow a release is what it was."""

import json
import shutil
import sys

import pytest

from tests.release import toy_bundle
from trainworks.release import registry
from trainworks.release.releases import current, promote, release, rollback

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own


@pytest.fixture(scope="module")
def migrated(tmp_path_factory):
    """A database as MLflow makes it, which takes seconds."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An artifact root that keeps no MLflow yet."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(tmp_path / "artifacts"))
    (tmp_path / "artifacts").mkdir()
    return tmp_path / "artifacts"


@pytest.fixture
def client(root, migrated):
    """MLflow's own client of the store in the artifact root."""
    from mlflow import MlflowClient

    registry.keep()
    shutil.copyfile(migrated, root / "mlflow.db")
    return MlflowClient(f"sqlite:///{root / 'mlflow.db'}", f"sqlite:///{root / 'mlflow.db'}")


TABLES = {"sales": {"date": "date32[day]", "quantity": "double"}}


def make(folder, accuracy=0.5):
    """A toy bundle whose one gate asks for an accuracy of 0.4."""
    texts = {"metrics.json": toy_bundle.metrics(accuracy), "report.html": "<p>good</p>", "model.onnx": folder.name}
    texts["profile.json"] = json.dumps({"measures": {}, "tables": TABLES})
    facts = {"config": {"source": "s3://bucket/sales", "seed": 1}, "data": "f" * 64, "verdict": toy_bundle.verdict(accuracy)}
    return toy_bundle.write(folder, texts, **facts)


def champion(client, to):
    """The released version that the alias names."""
    return client.get_model_version_by_alias(registry.model_name("toy", str(to)), registry.CHAMPION).tags["version"]


def test_a_release_is_a_run_with_all_but_the_model(client, tmp_path):
    """Knobs, data with digest and schema, scores with their intervals, the report; and it is registered."""
    done = release(make(tmp_path / "good"), str(tmp_path / "releases"))
    (run,) = client.search_runs([client.get_experiment_by_name("toy").experiment_id])
    assert run.data.params == {"source": "s3://bucket/sales", "seed": "1"}
    assert run.data.metrics == {"accuracy": 0.5, "accuracy/low": 0.4, "accuracy/high": 0.6}
    assert {name: run.data.tags[name] for name in ("version", "bundle", "commit", "released")} == {
        "version": done.version, "bundle": done.uri, "commit": "c0ffee", "released": "true"
    }  # fmt: skip
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.digest, json.loads(data.dataset.schema)) == ("f" * 36, TABLES)
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"metrics.json", "report.html", "profile.json"}
    (model,) = client.search_model_versions("")
    assert (model.run_id, model.tags["version"]) == (run.info.run_id, done.version)


def test_the_alias_is_where_the_pointer_is(client, tmp_path):
    """After a release, a candidate, a better release, a rollback, a promotion, and the same release again."""
    to = tmp_path / "releases"
    first = release(make(tmp_path / "first"), str(to))
    assert champion(client, to) == first.version == current(to).version
    candidate = release(make(tmp_path / "poor", 0.1), str(to))
    assert not candidate.moved and champion(client, to) == first.version
    second = release(make(tmp_path / "better", 0.6), str(to))
    assert champion(client, to) == second.version == current(to).version
    rollback(str(to))
    assert champion(client, to) == first.version == current(to).version
    promote(str(to), second.version)
    assert champion(client, to) == second.version
    release(tmp_path / "better", str(to))
    assert len(client.search_runs([client.get_experiment_by_name("toy").experiment_id])) == 3
    assert len(client.search_model_versions("")) == 2, "a candidate is registered only once it is released"


def test_each_place_has_a_champion_of_its_own(client, tmp_path):
    """A smoke run does not take the alias of what a service loads."""
    real = release(make(tmp_path / "real"), str(tmp_path / "releases"))
    smoke = release(make(tmp_path / "smoke"), str(tmp_path / "smoked"))
    assert champion(client, tmp_path / "releases") == real.version
    assert champion(client, tmp_path / "smoked") == smoke.version


def test_without_mlflow_nothing_is_recorded(root, tmp_path, caplog):
    """No store is made where no pipeline keeps one."""
    assert release(make(tmp_path / "good"), str(tmp_path / "releases")).moved
    assert not list(root.iterdir()) and "MLflow" not in caplog.text


def test_an_mlflow_that_is_down_costs_a_warning(root, tmp_path, monkeypatch, caplog):
    """The release is current all the same, and the password in the address is in no message."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ada:s3cret@127.0.0.1:9")
    done = release(make(tmp_path / "good"), str(tmp_path / "releases"))
    assert done.moved and current(tmp_path / "releases").version == done.version
    assert "MLflow failed" in caplog.text and "s3cret" not in caplog.text


def test_an_mlflow_that_cannot_be_opened_costs_a_warning(root, tmp_path, monkeypatch, caplog):
    """A database that is none, and an environment without mlflow: the release is current all the same."""
    registry.keep()
    (root / "mlflow.db").write_text("no database")
    assert release(make(tmp_path / "good"), str(tmp_path / "releases")).moved
    assert "MLflow failed (" in caplog.text
    monkeypatch.setitem(sys.modules, "mlflow", None)
    assert release(make(tmp_path / "better", 0.6), str(tmp_path / "releases")).moved
    assert "mlflow is not installed, it did not record the release" in caplog.text
