"""The first stage: a catalogue becomes slices, each kept under a name that is its content."""

from functools import partial
from pathlib import Path

from trainworks.photostock.catalogue import catalogue
from trainworks.photostock.catalogue.slices import slices, write_slice
from trainworks.storage import store


def acquire(source: str) -> list[Path]:
    """Folders of the slices of the catalogue at *source*, in order; each notes the ``root`` that its image paths start from.

    Raises:
        DataError, StorageError: as ``catalogue.read``.
    """
    read = catalogue.read(source)
    return [store.keep("acquire", partial(write_slice, rows), root=str(read.root)) for rows in slices(read.table)]
