"""Checkpoint files of pretrained towers, named by a local path or an s3:// URI."""

from pathlib import Path

from trainworks.errors import WeightsError
from trainworks.storage import manifest, places, s3, store


def is_file(weights: str) -> bool:
    """Whether *weights* names a file, not a tag."""
    return "/" in weights or Path(weights).suffix.lower() in (".pt", ".pth", ".bin", ".safetensors", ".npz")


def local(weights: str) -> Path:
    """The checkpoint file on this machine; one on S3 is fetched once into the artifact root.

    Raises:
        WeightsError: no such file.
        ValueError: it names no place, or has credentials in it.
        StorageError: S3 does not give it; the message says what to do.
    """
    weights = places.parse("weights", weights)
    path = Path(weights)
    if s3.is_uri(weights):
        if (stat := s3.stat(weights)) is None:
            raise WeightsError(f"no checkpoint {weights}: there is no such object or bucket")
        path = store.root() / "weights" / stat.tag().strip('"') / path.name
        if not path.exists():
            s3.download(weights, path)
    if not path.is_file():
        raise WeightsError(f"no checkpoint {weights}: expected a file such as model.safetensors or model.pt")
    return path


def digest(weights: str) -> str:
    """SHA-256 of the checkpoint file, so that a changed file is noticed; ``""`` where *weights* is a tag."""
    return manifest.sha256(local(weights)) if is_file(weights) else ""
