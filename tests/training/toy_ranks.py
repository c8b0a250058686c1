"""What ranks are told to do in tests: functions of a module, so that a new process finds them."""

import logging
import os
import signal

import torch
from torch import distributed as dist

from trainworks.errors import DataError


def write_number(rank, folder):
    """Which rank it was, after all have come; rank 0 logs, too."""
    total = torch.tensor(rank.number)
    dist.all_reduce(total)
    (folder / str(rank.number)).write_text(str(int(total)))
    if rank.number == 0:
        logging.getLogger("trainworks.toy").info("said by rank 0")


def one_dies(rank):
    """Rank 1 is killed while rank 0 waits for it."""
    if rank.number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    dist.barrier()


def one_raises(rank, own):
    """Rank 1 raises an error of ours, or another's, while rank 0 waits for it."""
    if rank.number == 1:
        raise DataError("no pictures:\nbring some") if own else KeyError("pixels")
    dist.barrier()
