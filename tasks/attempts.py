"""What Flyte tries again, and what an attempt leaves for the next one through Flyte's task checkpoint."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flytekit import FlyteContextManager
from flytekit.core.context_manager import ExecutionState
from flytekit.exceptions.user import FlyteDataNotFoundException, FlyteRecoverableException

from trainworks.errors import Interrupted, StorageUnreachable

log = logging.getLogger(__name__)


def on_cluster() -> bool:
    """Whether this task runs in a pod of a Flyte cluster, and not on the machine of who asked for it."""
    state = FlyteContextManager.current_context().execution_state
    return state is not None and state.mode is ExecutionState.Mode.TASK_EXECUTION


@contextmanager
def retried() -> Iterator[None]:
    """On a cluster, Flyte tries again where a store gave no answer. Nothing else: bad input stays bad."""
    try:
        yield
    except StorageUnreachable as error:
        if not on_cluster():
            raise
        raise FlyteRecoverableException(str(error)) from error


@contextmanager
def resumable(folder: Path) -> Iterator[Callable[[Path], object] | None]:
    """On a cluster, bring the last attempt's checkpoints to *folder*, and give what saves one for the next attempt.

    On this machine the folder itself survives. What SIGTERM stops, Flyte tries again.
    """
    parameters = FlyteContextManager.current_context().user_space_params
    share = None
    if on_cluster() and parameters:
        folder.mkdir(parents=True, exist_ok=True)
        checkpoint = parameters.checkpoint
        try:
            checkpoint.restore(folder)
        except FlyteDataNotFoundException:
            log.info("resume    the last attempt left no checkpoint")
        # Flyte looks one attempt back: one that dies before its own first checkpoint must have this one.
        for file in folder.glob("*.ckpt"):
            checkpoint.save(file)
        share = checkpoint.save
    try:
        yield share
    except Interrupted as stop:
        raise FlyteRecoverableException(str(stop)) from stop
