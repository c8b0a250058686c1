"""What a cluster is told of Supermegaretail: its form, its pods, its launch plans."""

import json
import os
import re
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import pytest
import yaml
from flytekit.configuration import Image, ImageConfig, SerializationSettings
from flytekit.tools.translator import get_serializable
from google.protobuf.json_format import MessageToDict

from tasks import deployment, experiments
from tasks import supermegaretail as tasks
from trainworks import facts
from workflows import supermegaretail as workflows
from workflows import supermegaretail_plans as plans
from workflows import supermegaretail_sweep

ROOT = Path(__file__).parents[2]
SETTINGS = SerializationSettings(
    image_config=ImageConfig(images=[Image("cpu", "image", "c"), Image("spark", "image", "s")]), project="p", domain="d", version="v"
)
EXPERIMENTS = sorted(path.stem for path in ROOT.glob("experiments/supermegaretail/*.yaml"))


def sent(workflow) -> dict:
    """What registering *workflow* sends, by name: tasks and workflows as JSON."""
    entities: OrderedDict = OrderedDict()
    get_serializable(entities, SETTINGS, workflow)
    specs = {entity.name: MessageToDict(spec.to_flyte_idl())["template"] for entity, spec in entities.items() if hasattr(spec, "template")}
    return {re.sub(r".*supermegaretail\.(map_)?|_[0-9a-f]{32}-arraynode$", "", name): template for name, template in specs.items()}


@pytest.fixture(scope="module", params=["supermegaretail", "forecast", "weekly", "watch"])
def serialized(request) -> tuple[str, dict]:
    """The name of a workflow, and what is sent of it."""
    return request.param, sent(getattr(workflows, request.param))


def test_the_form_is_flat_and_explains_itself(serialized):
    """At most 25 inputs, each a number, a text or a choice, with a help text; no yes or no."""
    name, templates = serialized
    inputs = templates[name]["interface"]["inputs"]["variables"]
    assert len(inputs) <= 25
    for knob, variable in inputs.items():
        assert variable["type"].get("simple") in ("INTEGER", "FLOAT", "STRING") or variable["type"].keys() == {"enumType"}, knob
        assert variable["description"] not in ("", knob)


def test_every_node_has_a_name_that_reads_as_the_pipeline(serialized):
    """The console shows a node by its id, and flytekit would number them."""
    name, templates = serialized
    nodes = [node["id"] for node in templates[name]["nodes"]]
    assert not [node for node in nodes if re.fullmatch(r"n\d+", node)]


def test_stages_stand_in_the_order_of_the_data():
    """From check to release."""
    nodes = {node["id"] for node in sent(workflows.supermegaretail)["supermegaretail"]["nodes"]}
    stages = "check acquire clean panel trials backtest choose winner fit export last-release evaluate behave report package release"
    assert set(stages.split()) <= nodes


def test_every_pod_is_one_that_a_restricted_namespace_admits(serialized):
    """No privileges, no root, no token of the cluster; processors and memory are asked for."""
    tasks = {name: template for name, template in serialized[1].items() if "k8sPod" in template}
    assert len(tasks) >= 4
    for name, template in tasks.items():
        pod = template["k8sPod"]["podSpec"]
        assert pod["automountServiceAccountToken"] is False and pod["securityContext"]["runAsNonRoot"] is True, name
        for container in pod["containers"]:
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, name
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}, name


def test_conditions_compare_text(serialized):
    """A real control plane compares outputs of a simple type."""
    name, templates = serialized
    for node in templates[name]["nodes"]:
        if "branchNode" in node:
            comparison = node["branchNode"]["ifElse"]["case"]["condition"]["comparison"]
            compared = comparison["leftValue"]["var"].rpartition(".")[2], comparison["rightValue"]["primitive"]["stringValue"]
            assert compared in (("panel_on", "spark"), ("train_on", "sagemaker"), ("verdict", "retrain"))


@pytest.mark.parametrize(
    ("workflow", "first"),
    [
        (workflows.supermegaretail, "check"),
        (workflows.weekly, "check"),
        (supermegaretail_sweep.sweep, "check"),
        (workflows.forecast, "settings"),
    ],
)
def test_bad_knobs_stop_a_run_before_a_table_is_read(workflow, first):
    """Only the node that checks waits for nothing; flytekit takes `>>` of a whole tuple of outputs, and orders nothing by it."""
    assert [node.id for node in workflow.nodes if not node.upstream_nodes] == [first]


def test_the_week_is_forecast_with_what_was_released():
    """And not with what was current before."""
    (gather,) = (node for node in workflows.weekly.nodes if node.id == "gather")
    assert "release" in {node.id for node in gather.upstream_nodes}


def test_train_on_chooses_where_the_model_that_ships_is_learned():
    """A pod where nothing else is asked for; both know what the other has made, and the pod that waits for SageMaker is small."""
    templates = sent(workflows.supermegaretail)
    (fit,) = (node["branchNode"]["ifElse"] for node in templates["supermegaretail"]["nodes"] if node["id"] == "fit")
    nodes = [fit["case"]["thenNode"], fit["elseNode"]]
    assert [node["taskNode"]["referenceId"]["name"].rpartition(".")[2] for node in nodes] == ["fit_on_sagemaker", "fit"]
    assert templates["fit"]["metadata"]["discoveryVersion"] == templates["fit_on_sagemaker"]["metadata"]["discoveryVersion"]
    assert not templates["fit_on_sagemaker"]["metadata"].get("interruptible")


def test_sagemaker_needs_a_deployment_before_anything_is_read(tmp_path, monkeypatch):
    """Its role, image, instance and bucket; what is missing is named."""
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(tmp_path))
    knobs = facts.knobs(*(section() for section in tasks.SECTIONS))
    given = {name: kind(knobs[name]) for name, kind in tasks.KNOBS.items()}
    places = {"source": "sample", "release_to": str(tmp_path / "release"), "forecasts_to": ""}

    with pytest.raises(ValueError, match="TRAINWORKS_SAGEMAKER_ROLE, TRAINWORKS_SAGEMAKER_IMAGE"):
        tasks.check.task_function(**given, **places, train_on=tasks.TrainOn.SAGEMAKER)


def test_what_must_look_again_is_not_cached():
    """Whether a source has changed or somebody has released; and what costs nothing."""
    templates = sent(workflows.supermegaretail)
    uncached = {name for name, template in templates.items() if "k8sPod" in template and not template["metadata"].get("discoveryVersion")}
    assert uncached == {"check", "acquire", "trials", "winner", "last_release", "release"}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_file_has_inputs_of_its_workflow(name):
    """Misspelt ones are refused when registering."""
    own = {"weekly": workflows.weekly, "watch": workflows.watch, "sweep": supermegaretail_sweep.sweep}
    workflow = own.get(name.split("-")[0], workflows.supermegaretail)
    asked = yaml.safe_load((ROOT / f"experiments/supermegaretail/{name}.yaml").read_text())
    assert experiments.inputs(workflow, f"supermegaretail/{name}").keys() == asked.keys()


def test_the_smoke_plan_is_registered_wherever():
    """Its data is the sample."""
    assert plans.smoke.name == "supermegaretail.smoke" and plans.smoke.saved_inputs["source"] == "sample"


@pytest.mark.slow
def test_a_registration_may_ask_for_spark_executors():
    """Then the panel's task is Flyte's Spark task, with its own image and pods as restricted as all others; else one like the others."""
    code = (
        "import json; from collections import OrderedDict; from tasks import supermegaretail as tasks\n"
        "from tests.tasks.test_supermegaretail import SETTINGS, get_serializable, MessageToDict\n"
        "spec = MessageToDict(get_serializable(OrderedDict(), SETTINGS, tasks.panel_on_spark).to_flyte_idl())['template']\n"
        "print(json.dumps([spec['type'], spec['k8sPod']['podSpec']['containers'][0]['image'], spec.get('custom')]))"
    )
    answers = []
    for executors in ("", "4"):
        environment = {**os.environ, "TRAINWORKS_SPARK": executors}
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        answers.append(json.loads(done.stdout.splitlines()[-1]))
    (*plain, _), (*on_spark, config) = answers
    assert (plain, on_spark) == (["python-task", "image:c"], ["spark", "image:s"])
    assert config["sparkConf"]["spark.executor.instances"] == "4"
    assert config["executorPod"]["podSpec"]["securityContext"]["runAsNonRoot"] is True


@pytest.mark.parametrize("said", ["0", "many"])
def test_a_number_of_executors_that_cannot_be_is_refused(said, monkeypatch):
    """When registering."""
    monkeypatch.setenv("TRAINWORKS_SPARK", said)
    with pytest.raises(ValueError, match=f"TRAINWORKS_SPARK = '{said}': expected how many executors"):
        deployment.spark("large")
