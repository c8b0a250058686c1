"""Every knob is one flat, typed, documented input, declared once."""

import inspect
from dataclasses import fields
from enum import Enum
from pathlib import Path

import pytest
import yaml

from tasks.knobs import as_dict, build, flat
from trainworks.photostock.curation.knobs import DataConfig
from trainworks.photostock.delivery.knobs import GateConfig
from trainworks.photostock.training.knobs import Precision, TrainConfig
from workflows.photostock import photostock

SWEEP = {"space", "trials", "parallel", "sampler"}
SECTIONS = (DataConfig, TrainConfig, GateConfig)
EXPERIMENTS = sorted(Path(__file__).parents[2].glob("experiments/photostock/*.yaml"))


def test_there_are_at_most_25_knobs():
    """Those likely to change in the coming months, source and target included."""
    assert len(photostock.python_interface.inputs) <= 25


def test_inputs_are_primitives_and_enums():
    """The console draws a form of them; bools are out, as flytekit drops a false in an inputs file."""
    for kind in photostock.python_interface.inputs.values():
        assert kind in (int, float, str) or issubclass(kind, Enum)


def test_knob_names_are_unique():
    """Flat inputs of several sections share one space."""
    names = [f.name for section in SECTIONS for f in fields(section)]
    assert len(names) == len(set(names))


def test_every_input_has_a_help_text_and_a_default():
    """The console shows the first; make demo needs the second."""
    helps = photostock.docs and photostock.interface.inputs
    for name, (_, default) in photostock.python_interface.inputs_with_defaults.items():
        assert default is not None, name
        assert helps[name].description not in ("", name), name


def test_defaults_are_valid():
    """All sections can be built from nothing."""
    for section in SECTIONS:
        section()


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_experiment_files_load(path):
    """The first line asks the question; every other line is a knob with a valid value."""
    assert path.read_text().startswith("# ") and path.read_text().splitlines()[0].endswith("?")
    chosen = yaml.safe_load(path.read_text())
    for section in SECTIONS:
        names = {f.name: f.type for f in fields(section)}
        own = {name: chosen.pop(name) for name in list(chosen) if name in names}
        section(**{name: type(getattr(section(), name))(value) for name, value in own.items()})
    assert chosen.keys() <= {"source", "release_to", "train_on"} | SWEEP


@pytest.mark.parametrize(
    ("section", "knobs", "says"),
    [
        (TrainConfig, {"epochs": 0}, "--epochs = 0: must be at least 1"),
        (TrainConfig, {"learning_rate": 0.0}, "--learning_rate = 0.0: must be above 0"),
        (TrainConfig, {"learning_rate": float("nan")}, "--learning_rate = nan: must be a number"),
        (TrainConfig, {"weight_decay": 2.0}, "--weight_decay = 2.0: must be at most 1"),
        (TrainConfig, {"image": "shortest(96)"}, "image: does not end in a square"),
        (TrainConfig, {"augment_image": "flop"}, "augment_image: unknown 'flop'.*did you mean 'flip'"),
        (TrainConfig, {"augment_text": "shuffle_tags > drop_tags(0.3)"}, "augment_text: drop_tags must come before shuffle_tags"),
        (TrainConfig, {"tune": "*.head"}, "tune: expected pattern=factor"),
        (TrainConfig, {"tune": "*=1@9", "epochs": 4}, "tune: .*9.*4"),
        (TrainConfig, {"loss": "clop"}, "loss: unknown 'clop'.*did you mean 'clip'"),
        (TrainConfig, {"loss": "clip + distill", "weights": "random"}, "--loss = .*knows nothing worth keeping"),
        (TrainConfig, {"average": "wise", "weights": "random"}, "--average = 'wise': .*knows nothing worth keeping"),
        (TrainConfig, {"average": "emma(0.9)"}, "average: unknown 'emma'.*did you mean 'ema'"),
        (DataConfig, {"subsample": "contributors(3)"}, "subsample: unknown 'contributors'.*did you mean 'contributor'"),
        (DataConfig, {"prompt": "{titel}"}, "prompt: .*titel.*did you mean 'title'"),
        (DataConfig, {"gallery": 3}, "--gallery = 3: must be at least 10"),
        (GateConfig, {"gates": "recal >= 0.2"}, "gates: unknown 'recal'.*did you mean 'recall'"),
    ],
)
def test_bad_values_name_the_knob(section, knobs, says):
    """Knob, value, and what is allowed."""
    with pytest.raises(ValueError, match=says.replace(".", r"\.").replace(r"\.*", ".*")):
        section(**knobs)


def test_a_section_is_spread_and_collected_again():
    """The function sees its section; callers see one typed input per knob."""

    @flat(build, train=TrainConfig)
    def task(train: TrainConfig, name: str) -> str:
        """Do it."""
        return f"{name} {train.epochs} {train.precision.value}"

    parameters = inspect.signature(task).parameters
    assert parameters["precision"].annotation is Precision
    assert parameters["epochs"].default == TrainConfig().epochs
    assert "epochs: (train) passes over the training pictures" in task.__doc__
    defaults = {name: p.default for name, p in parameters.items() if p.default is not inspect.Parameter.empty}
    assert task(**{**defaults, "epochs": 7}, name="run") == "run 7 fp32"


def test_a_workflow_passes_values_on_unread():
    """Promises are not checked, only handed to tasks by name."""

    @flat(as_dict, gate=GateConfig)
    def workflow(gate: dict) -> dict:
        return gate

    promise = object()
    assert workflow(gates=promise) == {"gates": promise}
