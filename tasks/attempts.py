"""What Flyte tries again, and what an attempt leaves for the next one through Flyte's task checkpoint."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import rich_click as click
from flytekit import FlyteContextManager
from flytekit.core.context_manager import ExecutionState
from flytekit.exceptions.user import FlyteDataNotFoundException, FlyteRecoverableException

from trainworks.errors import Interrupted, StorageUnreachable, TrainworksError

log = logging.getLogger(__name__)


def on_cluster() -> bool:
    """Whether this task runs in a pod of a Flyte cluster, and not on the machine of who asked for it."""
    state = FlyteContextManager.current_context().execution_state
    return state is not None and state.mode is ExecutionState.Mode.TASK_EXECUTION


class Refused(click.ClickException):
    """An error that a person can mend, told in its own words and without frames.

    Lists of executions keep the first 100 characters of an error, and flytekit's begins with the frames it passed through;
    ``pyflyte run`` prints a page of them. Of this class both see none: a cluster keeps the sentence, a terminal shows it alone.
    """

    __traceback__ = property(lambda self: None, lambda self, frames: None)  # type: ignore[assignment]


@contextmanager
def flyte_errors() -> Iterator[None]:
    """Errors as Flyte wants them: what a person can mend as a `Refused`, a store that gave no answer as one to try again.

    What is unforeseen passes with its frames. A task that is called as a plain function raises what the library raised.
    """
    try:
        yield
    except StorageUnreachable as error:
        if on_cluster():
            raise FlyteRecoverableException(str(error)) from error
        raise
    except (TrainworksError, ValueError) as error:
        if not _in_workflow() or isinstance(error, Interrupted):
            raise
        raise Refused(str(error)) from None


def _in_workflow() -> bool:
    """Whether Flyte runs this task, here or on a cluster."""
    state = FlyteContextManager.current_context().execution_state
    return state is not None and state.mode is not None


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
