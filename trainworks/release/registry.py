"""MLflow's record of releases: a run for each version, and a registered model whose alias ``champion`` is where the pointer is.

The store is that of ``MLFLOW_TRACKING_URI``; without one, ``mlflow.db`` in the artifact root of this machine, if a pipeline keeps it
(`keep`). The pointer decides what services load. MLflow follows it, and an MLflow that fails costs a warning, never a release.
"""

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainworks import extras
from trainworks.release import scores
from trainworks.storage import mlflow_server, s3, store

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION = "champion"
DATABASE, ARTIFACTS = "mlflow.db", "mlflow"
"""In the artifact root: the store that is taken without ``MLFLOW_TRACKING_URI``, and the folder with what its runs keep."""

PROFILE = "profile.json"
"""What a bundle remembers of its data; its entry ``tables`` has the type of each column of each table."""

LARGEST = 16 << 20
"""Bytes of the largest file of a bundle that a run keeps; the model itself stays where it was released."""

log = logging.getLogger(__name__)


def keep() -> None:
    """From now on releases of this artifact root are recorded in it, unless ``MLFLOW_TRACKING_URI`` names a store.

    Not where the artifact root is a bucket: a database is no object.
    """
    if not store.remote():
        store.root().mkdir(parents=True, exist_ok=True)
        (store.root() / DATABASE).touch()


def model_name(pipeline: str, to: str) -> str:
    """The registered model of the releases at *to*: each place has a pointer of its own, and so a champion."""
    return f"{pipeline}." + "-".join(re.findall(r"[\w.]+", to.removeprefix(s3.SCHEME)))


def record(bundle: Path, facts: Mapping[str, Any], to: str, version: str, place: str) -> None:
    """Write a run of *version*, whose files are in the folder *bundle* and were released as *place*; what was recorded stays as it is.

    It has the knobs, digest and schema of the data, every score with its interval, the verdict, and all files but the model.
    """
    with _client("record the release") as client:
        if client is None or _run(client, facts["pipeline"], to, version):
            return
        tags = {"mlflow.runName": version, "version": version, "release_to": to, "bundle": place, "commit": facts["commit"]}
        tags |= {"released": str(facts["verdict"]["passed"]).lower()}
        run = client.create_run(_experiment(client, facts["pipeline"]), tags=tags)
        for name, value in facts["config"].items():
            client.log_param(run.info.run_id, name, value)
        _log_data(client, run.info.run_id, bundle, facts)
        for name, value in _numbers(json.loads((bundle / scores.FILE).read_bytes())).items():
            client.log_metric(run.info.run_id, name, value)
        for name in facts["files"]:
            if Path(name).suffix in (".json", ".html", ".md", ".parquet") and (bundle / name).stat().st_size <= LARGEST:
                client.log_artifact(run.info.run_id, str(bundle / name), Path(name).parent.as_posix().removeprefix("."))
        client.set_terminated(run.info.run_id)


def point(facts: Mapping[str, Any], to: str, version: str, place: str) -> None:
    """Register *version*, released as *place*, if it is not yet, and give it the alias: the pointer at *to* names it."""
    with _client("move the alias") as client:
        if client is None:
            return
        from mlflow.exceptions import MlflowException

        name = model_name(facts["pipeline"], to)
        try:
            client.create_registered_model(name, tags={"release_to": to})
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        known = [each for each in client.search_model_versions(f"name='{name}'") if each.tags.get("version") == version]
        if not known:
            run = _run(client, facts["pipeline"], to, version)
            source = place if s3.is_uri(place) or run is None else run.info.artifact_uri
            known = [client.create_model_version(name, source, run and run.info.run_id, tags={"version": version, "bundle": place})]
        client.set_registered_model_alias(name, CHAMPION, known[0].version)


def _uri() -> str | None:
    database = store.root() / DATABASE
    return mlflow_server.uri() or (f"sqlite:///{database}" if database.exists() else None)


@contextmanager
def _client(what: str) -> Iterator["MlflowClient | None"]:
    """MLflow, or None where there is none; an error of it is a warning, without its message, which may name the store with its password."""
    client = None
    try:
        client = _connected()
    except ModuleNotFoundError:
        log.warning("mlflow is not installed, it did not %s; %s", what, extras.install("cloud"))
    except Exception as error:
        _failed(what, error)
    try:
        yield client
    except Exception as error:  # the client lets through MlflowException, and what SQL and HTTP libraries raise
        _failed(what, error)


def _connected() -> "MlflowClient | None":
    address = _uri()
    if address is None:
        return None
    from mlflow import MlflowClient

    for chatty in ("alembic", "mlflow"):  # after the import, which sets them
        logging.getLogger(chatty).setLevel(logging.ERROR)
    return MlflowClient(address, address)


def _failed(what: str, error: Exception) -> None:
    log.warning("MLflow failed (%s), it did not %s; the release itself is as it should be", type(error).__name__, what)


def _experiment(client: "MlflowClient", pipeline: str) -> str:
    """The id of ``MLFLOW_EXPERIMENT_NAME``, or else of the pipeline's own experiment."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", pipeline)
    if known := client.get_experiment_by_name(name):
        return known.experiment_id
    local = not os.environ.get("MLFLOW_TRACKING_URI")
    return client.create_experiment(name, (store.root() / ARTIFACTS).as_uri() if local else None)


def _run(client: "MlflowClient", pipeline: str, to: str, version: str) -> Any:
    """The run of *version* at *to*, or None."""
    runs = client.search_runs([_experiment(client, pipeline)], f"tags.version = '{version}'")
    return next((run for run in runs if run.data.tags["release_to"] == to), None)


def _log_data(client: "MlflowClient", run: str, bundle: Path, facts: Mapping[str, Any]) -> None:
    """The data by its digest; what it looked like and the types of its tables, if the bundle's profile has them."""
    from mlflow.entities import Dataset, DatasetInput

    profile = json.loads((bundle / PROFILE).read_bytes()) if PROFILE in facts["files"] else {}
    source, tables = json.dumps({"uri": str(facts["config"]["source"])}), json.dumps(profile.get("tables", {}))
    data = Dataset("data", facts["data"][:36], "uri", source, tables, json.dumps(profile))  # MLflow keeps 36 letters of a digest
    client.log_inputs(run, [DatasetInput(data)])


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Each score with the ends of its interval, and what it gained, by names that MLflow takes."""
    numbers: dict[str, float] = {}
    for score in scores.parse(metrics).all:
        name = re.sub(r"[^\w ./-]", "_", " ".join(filter(None, (score.name, score.group))))
        numbers |= {name: score.value, f"{name}/low": score.interval[0], f"{name}/high": score.interval[1]}
        if score.gain:
            numbers |= {f"{name}/gain": score.gain.value, f"{name}/gain low": score.gain.interval[0]}
    return numbers
