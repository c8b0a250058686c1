"""What an attempt of a task that is evicted leaves for the next one, through Flyte's task checkpoint."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flytekit import FlyteContextManager
from flytekit.core.context_manager import ExecutionState
from flytekit.exceptions.user import FlyteDataNotFoundException, FlyteRecoverableException

from trainworks.errors import Interrupted

log = logging.getLogger(__name__)


@contextmanager
def resumable(folder: Path) -> Iterator[Callable[[Path], object] | None]:
    """On a cluster, bring the last attempt's checkpoints to *folder*, and give what saves one for the next attempt.

    On this machine the folder itself survives. What SIGTERM stops, Flyte tries again.
    """
    state = FlyteContextManager.current_context().execution_state
    share = None
    if state and state.mode is ExecutionState.Mode.TASK_EXECUTION and state.user_space_params:
        folder.mkdir(parents=True, exist_ok=True)
        checkpoint = state.user_space_params.checkpoint
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
