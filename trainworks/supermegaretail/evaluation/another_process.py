"""The serving module in a process of its own: what it forecasts there must be what it forecasts here."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from trainworks.errors import last_words
from trainworks.supermegaretail.forecaster import Forecaster
from trainworks.supermegaretail.quantiles import COLUMNS


def forecast(folder: Path, origin: np.datetime64) -> np.ndarray:
    """Means and quantiles (S, H, 1 + Q) of the forecaster in *folder* from *origin*, in a child process.

    Raises:
        RuntimeError: the child ended otherwise than well; says what it said.
    """
    with tempfile.TemporaryDirectory(prefix="trainworks-") as name:
        answer = Path(name, "numbers.npy")
        command = [sys.executable, "-m", __name__, str(folder), str(origin), str(answer)]
        child = subprocess.run(command, capture_output=True, text=True, check=False)
        if child.returncode:
            raise RuntimeError(f"{folder}: its forecaster ended with {child.returncode} in another process: {last_words(child.stderr)}")
        return np.load(answer)


def _forecast(folder: str, origin: str, answer: str) -> None:
    forecaster = Forecaster.load(folder)
    table = forecaster.forecast(origin=origin)
    numbers = np.stack([table[name].to_numpy() for name in ("mean", *COLUMNS)], 1)
    np.save(answer, numbers.reshape(-1, forecaster.horizon, 1 + len(COLUMNS)))


if __name__ == "__main__":
    _forecast(*sys.argv[1:])
