"""What ran is shown with what it took and what it would cost."""

from pathlib import Path

import pytest

from trainworks import facts
from trainworks.storage import store


def noted(folder: Path, **notes: object) -> Path:
    """A stage's output with *notes* beside it."""
    folder.mkdir()
    store.note(folder, **notes)
    return folder


def test_a_stage_costs_its_time_on_its_machine(tmp_path: Path) -> None:
    """Two slices on CPU add up; an hour on two GPUs costs twice as much as one; what nobody timed costs nothing."""
    slices = [noted(tmp_path / f"slice{i}", seconds=1800.0) for i in range(2)]
    stages = {
        "prepare": slices,
        "finetune": [noted(tmp_path / "checkpoint", seconds=3600, machine="gpu", machines=2)],
        "export": [noted(tmp_path / "encoders")],
    }
    rows = facts.run({"seed": 1}, {}, stages, [])["stages"]
    assert rows == [
        {"stage": "prepare", "seconds": 3600.0, "machine": "cpu", "cost": pytest.approx(facts.HOURLY_COST["cpu"])},
        {"stage": "finetune", "seconds": 3600.0, "machine": "gpu", "cost": pytest.approx(2 * facts.HOURLY_COST["gpu"])},
        {"stage": "export", "seconds": 0, "machine": "cpu", "cost": 0},
    ]
