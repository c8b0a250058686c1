"""Fine-tuning learns, repeats itself bit for bit, freezes what it should and refuses what cannot work."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from trainworks.errors import LanguageError, TrainingError
from trainworks.photostock.model import towers
from trainworks.photostock.model.untouched import load
from trainworks.photostock.training import train
from trainworks.photostock.training.finetuner import Finetuner
from trainworks.photostock.training.inputs import Inputs
from trainworks.photostock.training.knobs import Precision, TrainConfig
from trainworks.storage import manifest, store
from trainworks.training import lightning

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Lightning's and timm's own

KNOBS = {"image": "squash(32)", "average": "", "tune": "logit_scale=1, *.head=1, *=0", "epochs": 2, "batch_size": 16, "learning_rate": 0.01}


@pytest.fixture(scope="module")
def run(untouched, shards, dataset, tmp_path_factory):
    """Fine-tune on the drawn catalogue with these knobs changed; gives the checkpoint folder."""
    monkeypatch = pytest.MonkeyPatch()

    def run(**changed):
        out = tmp_path_factory.mktemp("run")
        monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(out / "artifacts"))
        train.finetune(untouched, dataset, shards, TrainConfig(**{**KNOBS, **changed}), out / "logs", out, out / "resume")
        return out

    yield run
    monkeypatch.undo()


@pytest.fixture(scope="module")
def tuned(run):
    """One run with the knobs above."""
    return run()


def weights(folder):
    """The SHA-256 of a checkpoint's weights."""
    return manifest.sha256(folder / "weights.safetensors")


def test_heads_learn_and_towers_stay(untouched, tuned):
    """With *.head=1, *=0 the heads move; every frozen weight and batch-norm statistic is as it came."""
    before, after = load_file(untouched / "weights.safetensors"), load_file(tuned / "weights.safetensors")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"logit_scale", "visual.head.proj.weight", "text.proj.weight"}


def test_history_tells_what_happened(tuned):
    """Epoch 0 is before training; the loss falls; exactly the epoch of the best recall is marked."""
    history = json.loads((tuned / "history.json").read_text())
    assert [row["epoch"] for row in history] == [0, 1, 2]
    assert history[0]["train_loss"] is None
    assert history[2]["train_loss"] < history[1]["train_loss"]
    best = [row for row in history if row["best"]]
    assert len(best) == 1
    assert best[0]["val_recall"] == max(row["val_recall"] for row in history[1:])
    assert history[0]["val_recall"] < best[0]["val_recall"]


def test_groups_tell_what_learns(tuned):
    """A row per part, with parameters, factor and rate."""
    groups = {row["group"]: row for row in json.loads((tuned / "groups.json").read_text())}
    assert groups["image"]["factor"] == groups["text"]["factor"] == 0
    assert groups["image.head"]["learning_rate"] == groups["text.head"]["learning_rate"] == 0.01


def test_tensorboard_has_the_curves(tuned):
    """Loss, learning rate and validation recall, readable by TensorBoard."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tuned / "logs"))
    events.Reload()
    assert {"loss/train", "loss/val", "R@10/val", "recall/val"} <= set(events.Tags()["scalars"])


def test_the_same_run_gives_the_same_weights(run, tuned):
    """Bit for bit; another seed gives others."""
    assert weights(run()) == weights(tuned)
    assert weights(run(seed=2)) != weights(tuned)


def test_training_everything_repeats_itself_too(run):
    """Dropout and batch norm in both towers, augmentation, bf16."""
    first, second = (run(tune="*=0.1", epochs=1, precision=Precision.BF16, augment_image="flip") for _ in range(2))
    assert weights(first) == weights(second)
    assert all(np.isfinite(value.numpy()).all() for value in load_file(first / "weights.safetensors").values())


def test_a_locked_tower_trains_the_same_heads(untouched, run, tuned):
    """On kept features as through the towers, with augmentations that change nothing but keep both towers in the loop."""
    through = run(augment_image="color_jitter(0)", augment_text="sample_field > drop_tags(0)")
    kept, trained = (load_file(folder / "weights.safetensors") for folder in (tuned, through))
    start = load_file(untouched / "weights.safetensors")
    for head in ("visual.head.proj.weight", "text.proj.weight"):
        assert (kept[head] - trained[head]).norm() < 0.05 * (kept[head] - start[head]).norm()


def test_weights_are_mixed_where_recall_is_best(untouched, run, tuned):
    """With wise, the heads lie on the line from the untouched to the fine-tuned ones, at the share that was best on validation."""
    out = run(average="wise")
    tried = json.loads((out / "mixture.json").read_text())
    best = max(tried, key=lambda row: (row["val_recall"], -row["share"]))["share"]
    start, end, mixed = (load_file(folder / "weights.safetensors")["text.proj.weight"] for folder in (untouched, tuned, out))
    torch.testing.assert_close(mixed, start.lerp(end, best))


def test_a_moving_average_moves_less(untouched, run):
    """The average of the weights lags behind them."""
    folders = untouched, run(epochs=1), run(epochs=1, average="ema(0.9)")
    start, end, average = (load_file(folder / "weights.safetensors")["text.proj.weight"] for folder in folders)
    assert 0 < (average - start).norm() < (end - start).norm()


def test_every_loss_trains(run):
    """The sum of all four terms falls, and TensorBoard has each."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = run(loss="clip + 0.1*siglip + 0.2*distill + 0.5*tags")
    history = json.loads((out / "history.json").read_text())
    assert history[2]["train_loss"] < history[1]["train_loss"]
    events = EventAccumulator(str(out / "logs"))
    events.Reload()
    assert {f"loss_{term}/train" for term in ("clip", "siglip", "distill", "tags")} <= set(events.Tags()["scalars"])


def test_the_samples_are_what_the_model_saw(run, dataset):
    """Pictures that are in the training split, each with one of its texts, in the size that training used."""
    from trainworks.photostock.curation import index
    from trainworks.photostock.training import samples

    rows = index.rows(dataset, "train").set_index("id")
    shown = samples.read(run(epochs=1))
    assert len(shown) == samples.COUNT
    assert all(sample.text in rows.loc[sample.id, "texts"] and sample.pixels.shape == (32, 32, 3) for sample in shown)


def test_training_stops_when_recall_no_longer_rises(run):
    """With a learning rate too small to change any rank, patience ends the run after two epochs without a better one."""
    history = json.loads((run(learning_rate=1e-12, epochs=9, patience=2) / "history.json").read_text())
    assert [row["epoch"] for row in history] == [0, 1, 2, 3]


def test_a_loss_that_is_not_finite_stops_the_run(shards, dataset, tmp_path):
    """A similarity scale beyond all numbers: the message says where, and what to change."""
    broken = load("lite0-minilm", "pretrained", 32, seed=1)
    broken.model.logit_scale.data.fill_(200.0)
    towers.save(broken, tmp_path)
    manifest.write(tmp_path)
    (tmp_path / "out").mkdir()
    with pytest.raises(TrainingError, match=r"loss is nan at epoch 1, step 0: lower --learning_rate \(now 0.01\)"):
        train.finetune(tmp_path, dataset, shards, TrainConfig(**KNOBS), tmp_path / "logs", tmp_path / "out", tmp_path)


def test_an_infinite_gradient_stops_the_run_with_its_pictures(untouched, dataset, shards, tmp_path, monkeypatch):
    """Clipping would turn it into weights that are not numbers; the message names the pictures, and the weights are as they were."""
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(tmp_path / "artifacts"))
    model = towers.read(untouched)
    config = TrainConfig(**{**KNOBS, "tune": "*=1", "loss": "clip + distill"})
    inputs = Inputs(model, untouched, dataset, shards, config, tmp_path)
    tuner = Finetuner(model, config, steps=8)
    before = {name: value.clone() for name, value in tuner.state_dict().items()}
    model.model.text.proj.weight.register_hook(lambda gradient: gradient * float("inf"))
    plan = train._plan(untouched, dataset, config, tmp_path / "logs", tmp_path / "resume")
    trainer = lightning.trainer(plan, logger=False, enable_checkpointing=False, enable_progress_bar=False)
    with pytest.raises(TrainingError, match=r"norm of the gradient is (inf|nan) at epoch 1, step 0") as stopped:
        trainer.fit(tuner, inputs.pairs, inputs.gallery)
    assert f"the pictures of this step were {', '.join(inputs.pairs.ids_of(0))}" in str(stopped.value)
    parameters = dict(tuner.named_parameters())
    assert all(torch.equal(before[name], value) for name, value in tuner.state_dict().items() if name in parameters)


def test_a_checkpoint_holds_what_training_changes(untouched, tuned):
    """With *.head=1, *=0: the heads and the scale; of the teacher that distill needs, nothing."""
    tuner = Finetuner(towers.read(untouched), TrainConfig(**{**KNOBS, "loss": "clip + distill"}), steps=8)
    assert tuner.learning == {"model.logit_scale", "model.visual.head.proj.weight", "model.text.proj.weight"}
    assert not any("teacher" in name for name in tuner.state_dict())


def test_all_that_training_changes_is_in_a_checkpoint(untouched, run):
    """Weights and batch-norm statistics, where everything learns."""
    before = load_file(untouched / "weights.safetensors")
    after = load_file(run(tune="image=0.1, *=0", epochs=1) / "weights.safetensors")
    moved = {f"model.{name}" for name in before if not torch.equal(before[name], after[name])}
    tuner = Finetuner(towers.read(untouched), TrainConfig(**{**KNOBS, "tune": "image=0.1, *=0"}), steps=8)
    assert moved <= tuner.learning
    assert any("running_mean" in name for name in moved)


def test_what_would_train_nothing_is_refused(run):
    """A pattern for a part this backbone lacks, or all frozen."""
    with pytest.raises(LanguageError, match=r"did you mean 'image.head'"):
        run(tune="image.heda=1, *=0")
    with pytest.raises(LanguageError, match="every parameter is frozen"):
        run(tune="*=0")


def test_curves_and_checkpoints_lie_in_the_artifact_root(tmp_path, monkeypatch):
    """Whoever trains the same finds them there; the report learns on which machine it ran."""
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(tmp_path))
    seen = []
    monkeypatch.setattr(train, "finetune", lambda *inputs: seen.append(inputs[4:]))
    train.finetune_here(tmp_path, tmp_path, [], TrainConfig(), tmp_path)
    ((logs, out, resume),) = seen
    assert logs.parent == tmp_path / "tensorboard" and out == tmp_path
    assert resume == tmp_path / "resume"
    gpus = min(1, torch.cuda.device_count())
    assert store.notes(tmp_path) == {"machine": "gpu" if gpus else "cpu", "machines": 1}
