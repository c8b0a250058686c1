"""How the errors of a task reach Flyte: what is tried again, and what a person reads."""

from collections.abc import Iterator
from contextlib import contextmanager

import rich_click as click
from flytekit import FlyteContextManager
from flytekit.core.context_manager import ExecutionState
from flytekit.exceptions.user import FlyteRecoverableException

from trainworks.errors import Interrupted, StorageUnreachable, TrainworksError


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
    """Errors as Flyte wants them.

    What a person can mend is a `Refused`; a store that gave no answer, and a training that SIGTERM stopped, are to be tried
    again. What is unforeseen passes with its frames. A task that is called as a plain function raises what the library raised.
    """
    try:
        yield
    except (StorageUnreachable, Interrupted) as error:
        if on_cluster():
            raise FlyteRecoverableException(str(error)) from error
        raise
    except (TrainworksError, ValueError) as error:
        if not _in_workflow():
            raise
        raise Refused(str(error)) from None


def _in_workflow() -> bool:
    """Whether Flyte runs this task, here or on a cluster."""
    state = FlyteContextManager.current_context().execution_state
    return state is not None and state.mode is not None
