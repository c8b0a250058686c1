"""What can go wrong, as a tree.

    ValueError
    └── LanguageError        a little language (image, prompt, tune, …) does not parse
    TrainworksError
    ├── DataError            a source, a shard or a split that no model can be trained on
    ├── WeightsError         pretrained weights that cannot be had or do not fit
    ├── TrainingError        training cannot go on (a loss or a gradient that is not finite)
    ├── Interrupted          SIGTERM stopped a training; run again, it goes on from its checkpoint
    ├── ParityError          an exported encoder answers differently from the model it came from
    ├── IntegrityError       a file is not the one its manifest names
    ├── StorageError         a store such as S3, or another service of a cloud, that cannot be reached or refuses
    │   └── StorageUnreachable  it gave no answer; the same request may succeed later
    └── ReleaseError         a place that cannot hold releases
        └── ReleaseConflict  somebody else moved the release pointer first

A knob with a bad value raises ``ValueError`` naming the knob, its value and what is allowed.
"""

from itertools import dropwhile


class TrainworksError(Exception):
    """Base of every error Trainworks raises on purpose, but for bad knobs (``ValueError``)."""


class DataError(TrainworksError):
    """A source, a shard or a split that no model can be trained on."""


class WeightsError(TrainworksError):
    """Pretrained weights that cannot be had, or do not fit the backbone."""


class TrainingError(TrainworksError):
    """Training cannot go on."""


class Interrupted(TrainworksError):
    """SIGTERM stopped a training; run again, it goes on from its checkpoint."""


class ParityError(TrainworksError):
    """An exported encoder answers differently from the model it came from."""


class IntegrityError(TrainworksError):
    """A file is not the one its manifest names."""


class StorageError(TrainworksError):
    """A store such as S3, or another service of a cloud, that cannot be reached or refuses; says what to do about it."""


class StorageUnreachable(StorageError):
    """A store or a service that gave no answer; the same request may succeed later."""


class ClusterError(TrainworksError):
    """A Flyte cluster that does not run this; says what to do about it."""


class ReleaseError(TrainworksError):
    """A place that cannot hold releases."""


class ReleaseConflict(ReleaseError):
    """Somebody else moved the release pointer first."""


class LanguageError(ValueError):
    """A little language does not parse; says where, what was found and what is allowed."""

    def __init__(self, knob: str, text: str, position: int, message: str):
        super().__init__(f"{knob}: {message}\n  {text}\n  {' ' * position}^ at position {position}")
        self.knob, self.text, self.position = knob, text, position


def last_words(stderr: str) -> str:
    """The exception that ended a Python process, whole and without its frames, from what the process wrote to *stderr*.

    Without a traceback it is all that was written: the runtime ended the process, or a signal did.
    """
    after = stderr.rpartition("Traceback (most recent call last):\n")[2]
    error = "\n".join(dropwhile(lambda line: line.startswith(" "), after.splitlines()))
    return error.strip() or "it wrote no error"
