"""Several processes of one machine that share every batch of a training: started, joined, and ended together.

Each is a *rank*: it embeds its part of the batch, all compute the loss over the whole of it, and gradients are averaged before
every step, so that what one rank would train, several train faster. torch's elastic agent starts and watches them.
"""

import json
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from trainworks import errors
from trainworks.errors import Interrupted, TrainingError, TrainworksError

GRACE = 90
"""Seconds that ranks have to write a checkpoint after SIGTERM before they are killed; SageMaker waits 120."""

LINGER = 2.0
"""Seconds for which a rank with an error that nobody raised on purpose stays, since a lost neighbour's looks the same."""

log = logging.getLogger(__name__)


class Rank(NamedTuple):
    """Rank *number*, from 0, *of* so many."""

    number: int = 0
    of: int = 1

    def part(self, n: int) -> slice:
        """This rank's part of *n* items, a multiple of ``of``."""
        return slice(self.number * n // self.of, (self.number + 1) * n // self.of)

    def gather(self, own_bD: Tensor) -> Tensor:
        """The rows of all ranks, (B, D) in order of rank, of each rank's *own*, as many everywhere.

        Right for a loss that every rank computes from what is gathered, with gradients that :meth:`average` then averages.
        """
        return own_bD if self.of == 1 else _Gather.apply(own_bD.float(), self)

    def average(self, gradients: Iterable[Tensor | None]) -> None:
        """Make each gradient the mean over all ranks, in place; None, where nothing was learned, is None in all of them."""
        present = [gradient for gradient in gradients if gradient is not None]
        if self.of == 1 or not present:
            return
        flat = torch.cat([gradient.flatten() for gradient in present])
        dist.all_reduce(flat)
        for gradient, mean in zip(present, (flat / self.of).split([gradient.numel() for gradient in present]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def merged(self, own: dict) -> dict:
        """The *own* dicts of all ranks, of plain objects and CPU tensors, in one."""
        if self.of == 1:
            return own
        parts: list[dict] = [{} for _ in range(self.of)]
        dist.all_gather_object(parts, own)
        return {key: value for part in parts for key, value in part.items()}

    def any(self, own: bool) -> bool:
        """Whether any rank says so."""
        if self.of == 1:
            return own
        greatest = torch.tensor(int(own))
        dist.all_reduce(greatest, dist.ReduceOp.MAX)
        return bool(greatest)


ALONE = Rank()


class _Gather(torch.autograd.Function):
    """Backward, every rank has the whole gradient already: the loss is the same for all.

    It comes times the number of ranks, because averaging afterwards divides by it; parameters that the loss takes as they are
    have their whole gradient on every rank, and averaging leaves it alone.
    """

    @staticmethod
    def forward(ctx: Any, own_bD: Tensor, rank: Rank) -> Tensor:  # type: ignore[override]
        ctx.rank = rank
        parts = [torch.empty_like(own_bD) for _ in range(rank.of)]
        dist.all_gather(parts, own_bD.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient_BD: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return ctx.rank.of * gradient_BD[ctx.rank.part(len(gradient_BD))], None


def launch(of: int, work: Callable[..., None], *args: Any, scratch: Path) -> None:
    """Call ``work(rank, *args)`` in *of* new processes, and return when all have.

    *work* is a function of a module and *args* can be pickled. What rank 0 logs is logged here.
    SIGTERM goes on to all ranks. Their files of errors go to the folder *scratch*.

    Raises:
        TrainworksError: what a rank raised, with its message; ``TrainingError`` for any other error, and for a rank that was killed.
        Interrupted: SIGTERM came, and the ranks have ended.
    """
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(GRACE))
    for name in logging.root.manager.loggerDict:
        if name.startswith(("torch.distributed.elastic", "torch.multiprocessing")):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what failed is said once, below
    torch.cuda.empty_cache()  # what this process holds, rank 0 lacks
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=of,
        run_id=scratch.name,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,  # a retry of the whole task goes on from the checkpoint
        logs_specs=DefaultLogsSpecs(log_dir=str(scratch / "ranks")),
    )
    ours, theirs = multiprocessing.Pipe()
    listener = threading.Thread(target=_listen, args=(ours,), daemon=True)
    listener.start()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)}
    try:
        elastic_launch(config, _run)(of, theirs, work, *args)
    except SignalException as stop:
        if stop.sigval != signal.SIGTERM:
            raise KeyboardInterrupt from stop
        raise Interrupted("SIGTERM stopped the training: run it again, it goes on from its last checkpoint") from None
    except ChildFailedError as failed:
        number, failure = failed.get_first_failure()
        raise _error(f"rank {number} of {of}", failure) from None
    finally:
        if threading.current_thread() is threading.main_thread():
            for signal_number, handler in handlers.items():
                signal.signal(signal_number, handler)
        theirs.close()
        listener.join(LINGER)


def _listen(connection: Connection) -> None:
    """In the process that launched: log what rank 0 logs, until all ranks have ended."""
    while True:
        try:
            record = connection.recv()
        except (EOFError, OSError):  # in the middle of a record, from a rank that was killed
            return
        logging.getLogger(record.name).handle(record)


class _SentRecords(QueueHandler):
    """Rank 0's records, sent to the process that launched."""

    def enqueue(self, record: logging.LogRecord) -> None:
        self.queue.send(record)  # type: ignore[attr-defined]


def _run(of: int, connection: Connection, work: Callable[..., None], *args: Any) -> None:
    """What a new process does."""
    rank = Rank(int(os.environ["RANK"]), of)
    logger = logging.getLogger("trainworks")
    logger.setLevel(logging.INFO if rank.number == 0 else logging.CRITICAL)
    logger.propagate = False
    logger.addHandler(_SentRecords(connection) if rank.number == 0 else logging.NullHandler())  # type: ignore[arg-type]
    if torch.cuda.is_available():
        torch.cuda.set_device(rank.number)
        dist.init_process_group("cpu:gloo,cuda:nccl")  # decisions travel by gloo and wait for no kernel
    else:
        torch.set_num_threads(max(1, torch.get_num_threads() // of))
        dist.init_process_group("gloo")
    try:
        work(rank, *args)
    except TrainworksError:
        raise
    except Exception:
        time.sleep(LINGER)  # so that the agent sees first whose error came first
        raise
    dist.destroy_process_group()


def _error(who: str, failure: ProcessFailure) -> TrainworksError:
    """What the rank raised, as far as it is ours."""
    if failure.exitcode < 0:
        return TrainingError(
            f"{who} was killed by {failure.signal_name()}: most often for want of memory, so lower --batch_size or --devices; "
            f"run again, it goes on from its last checkpoint"
        )
    written = Path(failure.error_file)
    report: Any = json.loads(written.read_text())["message"] if written.is_file() else failure.message
    message = report if isinstance(report, str) else report["message"]
    name, _, text = message.partition(": ")
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, TrainworksError):
        return kind(text)
    if not isinstance(report, str):
        log.error("%s\n%s", who, report["extraInfo"]["py_callstack"])
    return TrainingError(f"{who} failed: {message}")
