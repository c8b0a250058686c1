"""What a cluster is told: every task's image, resources and cache version, every launch plan's inputs, and the registration itself."""

import gc
import io
import json
import os
import re
import subprocess
import sys
import tarfile
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from flytekit import Cache
from flytekit.configuration import Image, ImageConfig, SerializationSettings
from flytekit.core.cache import VersionParameters
from flytekit.models.literals import LiteralMap
from flytekit.tools.translator import get_serializable
from flytekit.types.directory import FlyteDirectory
from google.protobuf.json_format import MessageToDict

from tasks import deployment, experiments
from tasks import photostock as tasks
from tasks.cache import CodeOf
from tests.tasks.fake_admin import FakeAdmin
from trainworks.errors import DataError
from trainworks.photostock.curation.knobs import DataConfig
from trainworks.photostock.delivery.knobs import GateConfig
from trainworks.photostock.training.knobs import TrainConfig
from trainworks.storage import manifest
from workflows import launch_plans
from workflows.photostock import photostock

ROOT = Path(__file__).parents[2]
IMAGES = ImageConfig(images=[Image("cpu", "image", "c"), Image("gpu", "image", "g")])
SETTINGS = SerializationSettings(image_config=IMAGES, project="p", domain="d", version="v")
NAMED = [launch_plans.smoke, launch_plans.baseline, launch_plans.nightly]
PLANS = {plan.name: plan for plan in [*NAMED, launch_plans.swept, *launch_plans.published]}
EXPERIMENTS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(ROOT.glob("experiments/photostock/*.yaml"))}
UNCACHED = {"check", "acquire", "shards_to_embed", "last_release", "answered", "release"}
FINETUNES = ["finetune", "finetune_on_cpu", "finetune_on_sagemaker"]


@pytest.fixture(scope="module")
def serialized() -> dict:
    """What registering the workflow sends: its tasks as JSON by name, and the workflow itself."""
    entities: OrderedDict = OrderedDict()
    get_serializable(entities, SETTINGS, photostock)
    sent = {e.name: MessageToDict(s.to_flyte_idl())["template"] for e, s in entities.items() if type(s).__name__.endswith("Spec")}
    return {re.sub(r".*photostock\.(map_)?|_[0-9a-f]{32}-arraynode$", "", name): template for name, template in sent.items()}


@pytest.fixture(scope="module")
def specs(serialized) -> dict:
    """The tasks alone."""
    return {name: template for name, template in serialized.items() if "metadata" in template and "nodes" not in template}


def containers(spec: dict) -> dict:
    """The containers of a task by name; that of its own code is ``primary``."""
    if "container" in spec:
        return {"primary": spec["container"]}
    return {container["name"]: container for container in spec["k8sPod"]["podSpec"]["containers"]}


def values(literals: LiteralMap) -> dict:
    """Primitive literals as Python has them."""
    return {name: literal.scalar.primitive.value for name, literal in literals.literals.items()}


def test_only_finetuning_has_the_gpu_image(specs):
    """Every other task has the smaller one; TensorBoard's container takes what is on the node already."""
    images = {name: {container["image"] for container in containers(spec).values()} for name, spec in specs.items()}
    assert images.pop("finetune") == {"image:g"}
    assert all(image == {"image:c"} for image in images.values()) and len(images) > 10


def test_only_finetuning_asks_for_a_gpu(specs):
    """A task that says nothing gets the cluster's default, which is too little, so all ask for CPU and memory."""
    requests = {name: containers(spec)["primary"]["resources"]["requests"] for name, spec in specs.items()}
    assert requests.pop("finetune") == {"cpu": "8", "memory": "32Gi", "gpu": "1"}
    assert all(names.keys() == {"cpu", "memory"} for names in requests.values()) and len(requests) > 10


def test_finetuning_gets_as_many_gpus_as_the_registration_says():
    """With processors and memory for each GPU's rank, none of the shared memory's own limit; `check` is told the number."""
    code = (
        "import json; from tasks import photostock, photostock_sweep as sweep; from google.protobuf.json_format import MessageToDict as d; "
        "asked = photostock.finetune.resources.requests, sweep.trial.resources.requests; "
        "print(json.dumps([[r.cpu, r.mem, r.gpu] for r in asked] + [t.environment for t in (photostock.check, sweep.search)]))"
    )
    environment = {**os.environ, "TRAINWORKS_GPUS": "4"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    told = {"TRAINWORKS_GPUS": "4"}
    assert json.loads(done.stdout) == [["32", "128Gi", "4"], ["32", "128Gi", "4"], told, told]


@pytest.mark.parametrize("said", ["0", "four", "1.5", "-1"])
def test_a_number_of_gpus_that_cannot_be_is_refused(said, monkeypatch):
    """When registering."""
    monkeypatch.setenv("TRAINWORKS_GPUS", said)
    with pytest.raises(ValueError, match=f"TRAINWORKS_GPUS = '{said}': expected how many GPUs"):
        deployment.gpus()


def test_more_devices_than_the_cluster_gives_are_refused(tmp_path, monkeypatch):
    """By `check`, before a node with GPUs is asked for; on a machine of one's own fine-tuning itself sees what is there."""
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(tmp_path))
    knobs = {**vars(DataConfig()), **vars(TrainConfig(devices=2)), **vars(GateConfig())}
    inputs = {"source": "sample", "release_to": "s3://bucket/release", "train_on": tasks.TrainOn.GPU}
    monkeypatch.setattr(tasks, "on_cluster", lambda: True)
    with pytest.raises(ValueError, match=r"--devices = 2: fine-tuning was registered with 1 GPU\(s\).*TRAINWORKS_GPUS=2"):
        tasks.check.task_function(**knobs, **inputs)
    monkeypatch.setattr(tasks, "on_cluster", lambda: False)
    tasks.check.task_function(**knobs, **inputs | {"release_to": str(tmp_path / "release")})


def test_the_gpu_pod_has_shared_memory_and_may_run_on_gpu_nodes(specs):
    """Workers hand batches over through /dev/shm, and GPU nodes turn away pods that do not tolerate their taint."""
    pod = specs["finetune"]["k8sPod"]["podSpec"]
    mounts = {mount["mountPath"]: mount["name"] for mount in containers(specs["finetune"])["primary"]["volumeMounts"]}
    volumes = {volume["name"]: volume["emptyDir"] for volume in pod["volumes"]}
    assert volumes[mounts["/dev/shm"]] == {"medium": "Memory"}
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pod["tolerations"]


def test_tensorboard_reads_the_logs_of_the_task_beside_it(specs):
    """One volume at one place in both containers, read-only for TensorBoard: the working directory, where a task has its artifacts."""
    both = containers(specs["finetune"])
    (shared,) = [m for m in both["tensorboard"]["volumeMounts"] if m.pop("readOnly", False)]
    assert shared in both["primary"]["volumeMounts"] and shared["mountPath"] == deployment.WORK
    assert f"{deployment.WORK}/artifacts/tensorboard" in both["tensorboard"]["command"]


def test_tensorboard_sees_no_gpu(specs):
    """Where the container runtime goes by the image's variable, the sidecar would else get every GPU of the node."""
    assert {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"} in containers(specs["finetune"])["tensorboard"]["env"]


def test_every_task_is_retried_and_ends_some_day(specs):
    """A lost node is not a failed run, and what hangs does not hold a GPU for ever."""
    for name, spec in specs.items():
        assert spec["metadata"]["retries"]["retries"] >= 2, name
        assert int(spec["metadata"]["timeout"].removesuffix("s")) >= 3600, name


def test_long_stages_run_on_spot_nodes(specs):
    """Cheap ones are not worth an eviction, and that of the task which waits for SageMaker would stop its job."""
    spot = {name for name, spec in specs.items() if spec["metadata"].get("interruptible")}
    assert spot == {"acquire", "prepare", "embed", "finetune", "finetune_on_cpu"}


def test_cache_versions_are_made_of_code(specs):
    """But for what must look again each time, whether knobs are right, a source has changed, somebody has released; and a choice."""
    versions = {name: spec["metadata"].get("discoveryVersion") for name, spec in specs.items()}
    assert {name for name, version in versions.items() if not version} == UNCACHED
    expected = Cache(policies=CodeOf("photostock.preparation.prepare")).get_version(VersionParameters(func=tasks.prepare.task_function))
    assert versions["prepare"] == expected
    assert versions["finetune"] == versions["finetune_on_cpu"] == versions["finetune_on_sagemaker"]


def test_train_on_chooses_the_task(serialized):
    """Three tasks of one interface, and the one with the GPU where nothing else is asked for."""
    (branch,) = [node["branchNode"]["ifElse"] for node in serialized["photostock"]["nodes"] if node["id"] == "finetune"]
    cases = [branch["case"], *branch["other"]]
    chosen = {case["condition"]["comparison"]["rightValue"]["primitive"]["stringValue"]: case["thenNode"] for case in cases}
    names = {where: node["taskNode"]["referenceId"]["name"] for where, node in {**chosen, "gpu": branch["elseNode"]}.items()}
    assert names == {
        "gpu": "tasks.photostock.finetune",
        "cpu": "tasks.photostock.finetune_on_cpu",
        "sagemaker": "tasks.photostock.finetune_on_sagemaker",
    }
    assert set(names) == {where.value for where in tasks.TrainOn}


def test_of_two_who_train_the_same_one_waits(specs):
    """On a cluster; what takes minutes may be made twice."""
    serialized = {name for name, spec in specs.items() if spec["metadata"].get("cacheSerializable")}
    assert {name.removeprefix("tasks.photostock.") for name in serialized} == set(FINETUNES)


@pytest.mark.filterwarnings("ignore:Implicitly cleaning up")
def test_what_is_finetuned_in_one_place_is_known_in_the_others(tmp_path, monkeypatch):
    """GPU, CPU and SageMaker share one remembered output: the first one trains, the others find it."""
    ran = []

    def train(start, dataset, shards, config, out, name):
        ran.append(start)
        (out / "weights").write_text("trained")

    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setitem(sys.modules, "trainworks.photostock.training.train", SimpleNamespace(finetune_here=train))
    (tmp_path / "input").mkdir()
    manifest.write(tmp_path / "input")
    folder = FlyteDirectory(str(tmp_path / "input"))
    made = {getattr(tasks, name)(start=folder, dataset=folder, shards=[folder], **vars(TrainConfig())).path for name in FINETUNES}
    assert len(made) == len(ran) == 1
    gc.collect()  # flytekit's temporary folder, whose warning must come while it is ignored


def test_the_form_is_flat_and_explains_itself(serialized):
    """Every input is a number, a text or a choice, with a help text: the console draws fields and dropdowns, no JSON box."""
    inputs = serialized["photostock"]["interface"]["inputs"]["variables"]
    assert len(inputs) <= 25
    for name, variable in inputs.items():
        assert variable["type"].get("simple") in ("INTEGER", "FLOAT", "STRING") or variable["type"].keys() == {"enumType"}, name
        assert variable["description"] not in ("", name)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_has_a_launch_plan_that_says_the_same(name):
    """What the file says, no release unless it says where to, and the workflow's defaults for the rest."""
    plan = PLANS[f"photostock.{name}"]
    defaults = {knob: parameter.default for knob, parameter in plan.parameters.parameters.items()}
    starts_with = values(LiteralMap(defaults)) | values(plan.fixed_inputs)
    starts_with["source"] = starts_with["source"].replace("s3://bucket/data", "data")
    expected = {
        knob: getattr(default, "value", default) for knob, (_, default) in plan.workflow.python_interface.inputs_with_defaults.items()
    }
    experiment = {"release_to": ""} if "release_to" in expected else {}
    assert starts_with == expected | experiment | EXPERIMENTS[name]


def test_a_plan_whose_data_no_cluster_finds_is_left_out_by_name():
    """Without ``TRAINWORKS_DATA`` the sample's alone can run; and the schedule is not there to be armed."""
    code = "from workflows import launch_plans; print(launch_plans.smoke.name, launch_plans.nightly, launch_plans.published)"
    environment = {name: value for name, value in os.environ.items() if name != "TRAINWORKS_DATA"}
    listed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert listed.stdout == "photostock.smoke None []\n"
    assert set(re.findall(r"photostock\.[\w-]+", listed.stderr)) == PLANS.keys() - {"photostock.smoke"}
    assert "Set TRAINWORKS_DATA=s3://bucket/prefix" in listed.stderr


@pytest.mark.parametrize("folder", ["/srv/pictures", "pictures"])
def test_what_does_not_lie_below_data_is_not_on_a_cluster(folder):
    """Wherever the data lies; and that must be on S3."""
    with pytest.raises(LookupError):
        deployment.data(folder)


def test_data_lies_on_s3(monkeypatch):
    """A typo is refused when registering."""
    assert deployment.data("data/openclipart") == "s3://bucket/data/openclipart"
    monkeypatch.setenv("TRAINWORKS_DATA", "/mnt/data")
    with pytest.raises(ValueError, match="TRAINWORKS_DATA = '/mnt/data': expected s3://bucket/prefix"):
        deployment.data("data/openclipart")


def test_only_nightly_is_scheduled():
    """At two every night, on the catalogue as it is then, to one place; nobody is sent a mail who was not named."""
    plans = {name: MessageToDict(get_serializable(OrderedDict(), SETTINGS, plan).to_flyte_idl())["spec"] for name, plan in PLANS.items()}
    nightly = plans.pop("photostock.nightly")
    assert nightly["entityMetadata"]["schedule"]["cronSchedule"]["schedule"] == "0 2 * * *"
    assert nightly["fixedInputs"]["literals"].keys() == {"source", "release_to"}
    assert "notifications" not in nightly["entityMetadata"]
    assert not any("cronSchedule" in plan["entityMetadata"].get("schedule", {}) for plan in plans.values())


@pytest.mark.parametrize("name", ["flyte.config.yaml", "flyte.production.yaml"])
def test_configurations_name_both_images(name):
    """A missing alias would be an AssertionError of flytekit's."""
    settings = yaml.safe_load((ROOT / name).read_text())
    assert settings["images"].keys() == {"cpu", "gpu"} and settings["admin"]["endpoint"].startswith("dns:///")


def test_the_smoke_plan_needs_no_gpu():
    """A new cluster may have none yet."""
    assert EXPERIMENTS["smoke"]["train_on"] == "cpu"


def test_a_registration_says_who_hears_of_a_failure(monkeypatch):
    """Addresses are a fact of the deployment; without any, nobody hears."""
    monkeypatch.setenv("TRAINWORKS_NOTIFY", "ada@example.com, ben@example.com")
    assert deployment.recipients() == ["ada@example.com", "ben@example.com"]
    monkeypatch.delenv("TRAINWORKS_NOTIFY")
    assert deployment.recipients() == []


def test_every_pod_is_one_that_a_restricted_namespace_admits(specs):
    """Each container gives up privileges, none runs as root, and no pod holds a token of the cluster."""
    for name, spec in specs.items():
        pod = spec["k8sPod"]["podSpec"]
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False and context["capabilities"] == {"drop": ["ALL"]}, name
            assert context["runAsNonRoot"] is True, name


def test_a_stage_can_write_to_the_folders_of_its_pod_alone(specs):
    """To its working directory and /tmp; but a container that is handed a GPU, whose root NVIDIA's runtime may have to write to."""
    for name, spec in specs.items():
        pod = spec["k8sPod"]["podSpec"]
        empty = {volume["name"] for volume in pod["volumes"] if "emptyDir" in volume}
        for container in pod["containers"]:
            places = {mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] in empty}
            assert {deployment.WORK, "/tmp"} <= places, name
            has_gpu = "gpu" in container["resources"]["requests"]
            assert container["securityContext"]["readOnlyRootFilesystem"] is not has_gpu, name


def test_a_container_that_requests_also_limits(specs):
    """Flyte completes a missing limit with 0, which Kubernetes refuses below a request; only the task's own container it completes well."""
    (sidecar,) = [c for c in specs["finetune"]["k8sPod"]["podSpec"]["containers"] if c["name"] != "primary"]
    assert sidecar["resources"]["requests"] == sidecar["resources"]["limits"]


def test_conditions_compare_text(serialized):
    """A real control plane refuses to compare an Enum with a constant: what is compared are outputs of check, which are text."""
    branches = [node["branchNode"]["ifElse"] for node in serialized["photostock"]["nodes"] if "branchNode" in node]
    cases = [case for branch in branches for case in (branch["case"], *branch.get("other", ()))]
    compared = [case["condition"]["comparison"]["leftValue"]["var"] for case in cases]
    assert [name.rpartition(".")[2] for name in compared] == ["train_on", "train_on", "people"]
    assert "train_on" not in compared


def test_a_run_that_people_judge_waits_for_them_once_its_candidate_is_there(serialized):
    """Two weeks, for a text; what follows is made of the answer. A run that nobody is asked about has no node more."""
    nodes = {node["id"]: node for node in serialized["judged"]["nodes"]}
    waits = nodes["judgements"]
    assert waits["gateNode"]["signal"] == {"signalId": "judgements", "type": {"simple": "STRING"}, "outputVariableName": "o0"}
    assert waits["metadata"]["timeout"] == "1209600s" and waits["upstreamNodeIds"] == ["candidate"]
    assert {name: nodes[name]["upstreamNodeIds"] for name in ("answered", "report", "package", "release")} == {
        **{"answered": ["judgements"], "report": ["answered"]},
        **{"package": ["report"], "release": ["package"]},
    }
    (branch,) = [node["branchNode"]["ifElse"] for node in serialized["photostock"]["nodes"] if node["id"] == "release"]
    assert branch["case"]["thenNode"]["workflowNode"]["subWorkflowRef"]["name"] == "workflows.photostock.judged"
    assert branch["elseNode"]["taskNode"]["referenceId"]["name"] == "tasks.photostock.release"


def test_a_broken_file_of_judgements_is_refused_before_anything_expensive(tmp_path, monkeypatch):
    """By `check`, with the line, whether or not a gate asks for people."""
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(tmp_path))
    (tmp_path / "release" / "judgements").mkdir(parents=True)
    (tmp_path / "release" / "judgements" / "mine.jsonl").write_text("{}\n")
    knobs = {**vars(DataConfig()), **vars(TrainConfig()), **vars(GateConfig())}
    with pytest.raises(DataError, match=r"mine.jsonl: line 1 is no judgement"):
        tasks.check.task_function(**knobs, source="sample", release_to=str(tmp_path / "release"), train_on=tasks.TrainOn.CPU)


@pytest.mark.parametrize(
    ("cluster", "gates", "given", "people"),
    [
        (True, "recall >= 0.1, preference >= 0.5", "", "asked"),
        (True, "recall >= 0.1, preference >= 0.5 waived", "", "not asked"),
        (True, "recall >= 0.1", "", "not asked"),
        (True, "preference >= 0.5", "2026-01-31T12:00:00+00:00", "not asked"),
        (False, "preference >= 0.5", "", "not asked"),
    ],
)
def test_people_are_waited_for_where_a_gate_asks_for_them(tmp_path, monkeypatch, cluster, gates, given, people):
    """On a cluster, unless they have judged since the last release; a machine of one's own never waits."""
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(tmp_path))
    monkeypatch.setattr(tasks, "on_cluster", lambda: cluster)
    release = tmp_path / "release"
    if given:
        (release / "judgements").mkdir(parents=True)
        line = {"tasks": "set", "task": "a", "judge": "Ada", "choice": "left", "at": given}
        (release / "judgements" / "mine.jsonl").write_text(json.dumps(line) + "\n")
    knobs = {**vars(DataConfig()), **vars(TrainConfig()), **vars(GateConfig(gates=gates))}
    checked = tasks.check.task_function(**knobs, source="sample", release_to=str(release), train_on=tasks.TrainOn.CPU)
    assert checked.people == people


def test_every_node_has_a_name_that_reads_as_the_pipeline(serialized):
    """The console shows a node by its id, and flytekit would number them."""
    nodes = [node["id"] for node in serialized["photostock"]["nodes"]]
    assert not [name for name in nodes if re.fullmatch(r"n\d+", name)]
    assert {"check", "prepare", "finetune", "export", "export-untouched", "release"} <= set(nodes)


@pytest.mark.parametrize("size", deployment.SIZES)
def test_a_size_says_what_stages_request(size, monkeypatch):
    """One fact of the deployment; the smallest fits a sandbox on a laptop."""
    monkeypatch.setenv("TRAINWORKS_SIZE", size)
    assert (deployment.requested("large").cpu, deployment.requested("large").mem) == deployment.SIZES[size]["large"]
    monkeypatch.setenv("TRAINWORKS_SIZE", "huge")
    with pytest.raises(ValueError, match="TRAINWORKS_SIZE = 'huge': expected one of laptop, standard, large"):
        deployment.requested("large")


def test_an_unknown_accelerator_is_refused(monkeypatch):
    """When registering, with those that there are; none is any GPU."""
    monkeypatch.setenv("TRAINWORKS_ACCELERATOR", "L5")
    with pytest.raises(ValueError, match=r"'L5': expected one of .*L4, L40S"):
        deployment.accelerator()
    monkeypatch.delenv("TRAINWORKS_ACCELERATOR")
    assert deployment.accelerator() is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("epocs: 3", "wrong.yaml: .*has no input 'epocs'; did you mean 'epochs'"),
        ("epochs: 2.5", "wrong.yaml: epochs = 2.5: expected int, found float"),
        ("epochs: three", "wrong.yaml: epochs = 'three': expected int, found str"),
        ("learning_rate: 1e-3", "learning_rate = '1e-3': expected float, found str"),  # YAML 1.1 wants 1.0e-3
        ("train_on: tpu", "train_on = 'tpu': expected one of gpu, cpu, sagemaker"),
    ],
)
def test_an_experiment_file_that_is_wrong_is_refused_by_name(text, says, tmp_path, monkeypatch):
    """When registering: file, input, what was expected."""
    (tmp_path / "wrong.yaml").write_text(text)
    monkeypatch.setattr(experiments, "EXPERIMENTS", tmp_path)
    with pytest.raises(ValueError, match=says):
        experiments.inputs(photostock, "wrong")


class Registered:
    """Everything registered once with a fake control plane, and `pyflyte` pointed at it."""

    HEAVY = ("torch", "open_clip", "pytorch_lightning", "transformers", "onnxruntime")

    def __init__(self, home: Path):
        self.admin = FakeAdmin()
        own = {"FLYTE_PLATFORM_URL": self.admin.endpoint, "FLYTE_PLATFORM_INSECURE": "true", "HOME": str(home), "COLUMNS": "200"}
        self.environment = {**os.environ, **own, "TRAINWORKS_ACCELERATOR": "L4"}
        self.first = self.register()

    def pyflyte(self, *arguments: str) -> subprocess.CompletedProcess:
        """The program, with a last line about the heavy packages it has imported."""
        code = f"import atexit, sys; atexit.register(lambda: print('heavy:', *(set(sys.modules) & set({self.HEAVY}))))\n"
        code += "from flytekit.clis.sdk_in_container.pyflyte import main; sys.exit(main())"
        command = [sys.executable, "-c", code, "--config", "flyte.config.yaml", *arguments]
        return subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False)

    def register(self) -> subprocess.CompletedProcess:
        """As flyte.config.yaml says."""
        more = ["--env", "TRAINWORKS_ARTIFACTS=s3://bucket/artifacts", "--destination-dir", ".", "--activate-launchplans"]
        return self.pyflyte("register", "workflows", "--version", "v1", *more)


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    """See `Registered`."""
    registered = Registered(tmp_path_factory.mktemp("home"))
    yield registered
    registered.admin.close()


@pytest.mark.slow
def test_everything_is_registered_and_active(registered):
    """Tasks, workflow, and every launch plan under its version."""
    assert registered.first.returncode == 0, registered.first.stdout
    assert {"tasks.photostock.check", "tasks.photostock.finetune"} <= {key[2] for key in registered.admin.tasks}
    assert registered.admin.active.items() >= dict.fromkeys([*PLANS, "workflows.photostock.photostock"], "v1").items()


@pytest.mark.slow
def test_registering_needs_no_torch(registered):
    """The machine that registers, often a CI runner, need not have any of the training packages."""
    assert registered.first.stdout.splitlines()[-1] == "heavy:"


@pytest.mark.slow
def test_the_code_that_is_sent_is_all_of_it(registered):
    """Stages import their library inside the task, and pages have templates: none of it is in memory when registering."""
    (packed,) = registered.admin.uploads.values()
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        names = archive.getnames()
    library = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("trainworks/**/*") if path.suffix in (".py", ".html", ".webp")}
    assert library <= set(names)
    assert not [name for name in names if name.startswith((".venv", "artifacts", "data"))]


@pytest.mark.slow
def test_deployment_facts_reach_the_tasks(registered):
    """The environment of the containers, the kind of GPU, and a folder for the code that the images' user may write to."""
    task = registered.admin.tasks["flytesnacks", "development", "tasks.photostock.finetune", "v1"].spec.template
    primary = containers(MessageToDict(task))["primary"]
    assert {"name": "TRAINWORKS_ARTIFACTS", "value": "s3://bucket/artifacts"} in primary["env"]
    assert task.extended_resources.gpu_accelerator.device == "nvidia-l4"
    assert primary["args"][primary["args"].index("--dest-dir") + 1] == "."


@pytest.mark.slow
def test_registering_again_changes_nothing(registered):
    """The same version of the same code is known, down to the last byte that the control plane compares."""
    before = dict(registered.admin.tasks), dict(registered.admin.workflows), dict(registered.admin.plans)
    again = registered.register()
    assert again.returncode == 0, again.stdout
    assert before == (registered.admin.tasks, registered.admin.workflows, registered.admin.plans)
    assert len(registered.admin.uploads) == 1


@pytest.mark.slow
def test_a_launch_plan_is_started_with_its_own_inputs(registered):
    """From the file as it is here, and as registered; what the command says goes before what the plan says."""
    smoke = ["workflows/launch_plans.py", "smoke", "--seed", "7"]
    for command in (["--remote", "--copy", "all", *smoke], ["remote-launchplan", "photostock.smoke", "--seed", "7"]):
        done = registered.pyflyte("run", *command)
        assert done.returncode == 0, done.stdout + done.stderr
        asked = registered.admin.executions.pop()
        assert asked.spec.launch_plan.name == "photostock.smoke"
        given = values(LiteralMap.from_flyte_idl(asked.inputs))
        assert given["seed"] == 7 and given.items() >= EXPERIMENTS["smoke"].items()


@pytest.mark.slow
def test_what_a_plan_fixes_is_not_sent(registered):
    """The control plane refuses a value for it; flytekit alone would send the workflow's default, the sample."""
    done = registered.pyflyte("run", "--remote", "--copy", "all", "workflows/launch_plans.py", "nightly")
    assert done.returncode == 0, done.stdout + done.stderr
    given = values(LiteralMap.from_flyte_idl(registered.admin.executions.pop().inputs))
    assert given["gallery"] == EXPERIMENTS["nightly"]["gallery"] and not given.keys() & {"source", "release_to"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "says"), [(["--epochs", "two"], "two"), (["--train_on", "tpu"], "gpu.*cpu.*sagemaker"), (["--epocs", "2"], "--epochs")]
)
def test_a_wrong_input_is_refused_before_anything_starts(registered, option, says):
    """With the option, and what would be right."""
    done = registered.pyflyte("run", "remote-launchplan", "photostock.smoke", *option)
    assert done.returncode == 2 and re.search(says, done.stdout + done.stderr, re.S)
    assert not registered.admin.executions


@pytest.mark.slow
def test_a_package_holds_what_a_registration_sends(registered, tmp_path):
    """For those who register with flytectl."""
    images = ["--image", "cpu=photostock-cpu:1", "--image", "gpu=photostock-gpu:1"]  # it reads no configuration file
    done = registered.pyflyte("--pkgs", "workflows", "package", *images, "--source", ".", "--output", str(tmp_path / "flyte.tgz"))
    assert done.returncode == 0, done.stdout + done.stderr
    with tarfile.open(tmp_path / "flyte.tgz") as archive:
        names = archive.getnames()
    packed = {name.split("_", 1)[1].rpartition("_")[0] for name in names if name.endswith(".pb")}
    assert packed >= {name for _, _, name, _ in [*registered.admin.tasks, *registered.admin.plans]}
