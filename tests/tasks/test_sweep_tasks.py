"""A sweep as Flyte sees it: rounds of mapped trials that may fail, one form, and an experiment file that fits."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from flytekit.configuration import Image, ImageConfig, SerializationSettings
from flytekit.core.context_manager import ExecutionState, FlyteContextManager
from flytekit.types.directory import FlyteDirectory

from tasks import photostock_sweep as tasks
from tasks.sweep import Sampler
from trainworks.errors import LanguageError
from trainworks.photostock.curation.knobs import DataConfig
from trainworks.photostock.training.knobs import TrainConfig
from trainworks.supermegaretail.backtest.knobs import TrialConfig
from trainworks.sweep import space
from workflows import supermegaretail_sweep
from workflows.sweep import sweep

pytestmark = pytest.mark.filterwarnings("ignore")  # flytekit's own

ROOT = Path(__file__).parents[2]


@pytest.fixture
def nodes():
    """The nodes of five trials in rounds of two, as a cluster would get them."""
    image = Image(name="default", fqn="image", tag="1")
    settings = SerializationSettings(
        image_config=ImageConfig(image, [Image("cpu", "cpu", "1"), Image("gpu", "gpu", "1")]), project="p", domain="d", version="1"
    )
    context = FlyteContextManager.current_context()
    remote = context.new_execution_state().with_params(mode=ExecutionState.Mode.TASK_EXECUTION)
    with FlyteContextManager.with_context(context.with_serialization_settings(settings).with_execution_state(remote)) as context:
        inputs = {
            **vars(TrainConfig()),
            "space": "epochs = uniform(1, 9)",
            "sampler": Sampler.TPE,
            "dataset": FlyteDirectory("s3://nowhere/dataset"),
            "shards": [FlyteDirectory("s3://nowhere/shard")],
            "trials": 5,
            "parallel": 2,
        }
        return tasks.search.compile_into_workflow(context, tasks.search._task_function, **inputs).nodes


def test_each_round_waits_for_the_last_one(nodes):
    """Ask, try, ask, …: the last round is for the rest. Folders on S3 are handed on unread."""
    names = [node.id for node in nodes]
    before = {node.id: set(node.upstream_node_ids) for node in nodes}
    assert names == ["ask-1", "trials-1", "ask-2", "trials-2", "ask-3", "trials-3"]
    for number, name in enumerate(names[1:], 1):
        assert names[number - 1] in before[name]


def test_a_lost_machine_costs_its_trial_only(nodes):
    """Every round of trials is content with no success at all."""
    rounds = [node.array_node.to_flyte_idl() for node in nodes if node.array_node]
    assert [(each.HasField("min_success_ratio"), each.min_success_ratio) for each in rounds] == [(True, 0.0)] * 3


def test_nodes_are_called_after_what_they_do():
    """As the console shows them."""
    names = {node.id for node in sweep.nodes}
    assert names == {"check", "untouched", "acquire", "prepare", "shards-to-embed", "embed", "curate", "search", "conclude"}


@pytest.mark.slow
@pytest.mark.parametrize("workflow", ["sweep", "supermegaretail_sweep"])
def test_listing_a_sweep_needs_no_heavy_package(workflow):
    """What pyflyte run --help and register do first."""
    code = f"import workflows.{workflow}, sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    loaded = set(subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.split())
    assert not loaded & {
        "torch",
        "open_clip",
        "pytorch_lightning",
        "transformers",
        "onnxruntime",
        "matplotlib",
        "optuna",
        "duckdb",
        "lightgbm",
    }


def test_the_experiment_file_is_a_sweep():
    """Every line is an input of the workflow, and its space can be searched."""
    chosen = yaml.safe_load((ROOT / "experiments" / "photostock" / "sweep.yaml").read_text())
    assert chosen.keys() <= sweep.python_interface.inputs.keys()
    kinds = sweep.python_interface.inputs
    known = {name: kinds[name](value) for name, value in chosen.items()}
    train = TrainConfig(**{name: value for name, value in known.items() if name in vars(TrainConfig())})
    DataConfig(**{name: value for name, value in known.items() if name in vars(DataConfig())})
    assert set(space.parse(known["space"], train)) == {"learning_rate", "weight_decay", "average"}


def test_the_experiment_file_of_the_other_room_is_a_sweep():
    """Of the knobs that decide how a model forecasts; what is forecast is none of them."""
    chosen = yaml.safe_load((ROOT / "experiments" / "supermegaretail" / "sweep.yaml").read_text())
    assert chosen.keys() <= supermegaretail_sweep.sweep.python_interface.inputs.keys()
    parsed = space.parse(chosen["space"], TrialConfig())
    assert set(parsed) == {"head", "features"} and space.size(parsed) == chosen["trials"]
    with pytest.raises(LanguageError, match=r"grain"):
        space.parse("grain = product, week | store, product, week", TrialConfig())
