"""The serving module in a process of its own: what it answers there must be what it answers here."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trainworks.errors import last_words
from trainworks.photostock.search import Encoders


def embed(encoders: Path, pictures: Sequence[bytes], texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Encoded *pictures* and *texts* through the bundle *encoders* in a child process → float32 ``(n, dim)`` of each.

    Raises:
        RuntimeError: the child ended otherwise than well; says what it said.
    """
    with tempfile.TemporaryDirectory(prefix="trainworks-") as name:
        folder = Path(name)
        for place, picture in enumerate(pictures):
            (folder / f"{place:06d}.picture").write_bytes(picture)
        (folder / "texts.json").write_text(json.dumps(texts))
        child = subprocess.run([sys.executable, "-m", __name__, encoders, folder], capture_output=True, text=True, check=False)
        if child.returncode:
            raise RuntimeError(f"{encoders}: its encoders ended with {child.returncode} in another process: {last_words(child.stderr)}")
        return np.load(folder / "pictures.npy"), np.load(folder / "texts.npy")


def _embed(bundle: Path, folder: Path) -> None:
    encoders = Encoders.load(bundle)
    np.save(folder / "pictures.npy", encoders.images(sorted(folder.glob("*.picture"))))
    np.save(folder / "texts.npy", encoders.texts(json.loads((folder / "texts.json").read_text())))


if __name__ == "__main__":
    _embed(Path(sys.argv[1]), Path(sys.argv[2]))
